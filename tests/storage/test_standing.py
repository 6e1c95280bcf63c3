"""How a lease stands, and who it was that settled: for workers whose answers get lost."""

from typing import Any

import pytest

from trio_jobs.job import Event, State

from ..conftest import EPOCH
from .jobs import LEASE, VERDICTS, claim_one, new_job, settlement


async def test_a_held_lease_says_what_a_verdict_depends_on(store: Any) -> None:
    await store.enqueue([new_job(timeout=7.0, deadline=EPOCH + 99, backoff="fixed")])
    job = await claim_one(store)
    [standing] = await store.standing([job.lease])
    assert standing.held
    assert standing.expires_at == EPOCH + LEASE
    assert (standing.state, standing.attempt, standing.max_attempts) == (State.RUNNING, 1, 5)
    assert (standing.timeout, standing.deadline, standing.backoff) == (7.0, EPOCH + 99, "fixed")
    assert (standing.started_at, standing.cancel_requested_at) == (EPOCH, None)
    assert (standing.is_limited, standing.settled_as) == (False, None)


async def test_a_cancel_and_a_limit_of_the_queue_are_seen(store: Any) -> None:
    await store.enqueue([new_job()])
    job = await claim_one(store)
    await store.cancel([job.id], EPOCH + 1)
    await store.limit("default", 3)
    [standing] = await store.standing([job.lease])
    assert (standing.cancel_requested_at, standing.is_limited) == (EPOCH + 1, True)


@pytest.mark.parametrize("event", VERDICTS)
async def test_who_has_settled_is_remembered_until_somebody_else_has(
    store: Any, event: Event
) -> None:
    await store.enqueue([new_job()])
    job = await claim_one(store)
    verdict = settlement(job.lease, event)
    assert await store.settle([verdict], EPOCH) == {job.id}
    assert await store.settle([verdict], EPOCH) == set()
    [standing] = await store.standing([job.lease])
    assert not standing.held
    assert standing.settled_as == (verdict.reason or verdict.state)
    if standing.state is State.QUEUED:  # a later attempt does not make the earlier one forgotten
        again = await claim_one(store)
        await store.settle([settlement(again.lease)], EPOCH)
        assert [s.settled_as for s in await store.standing([job.lease, again.lease])] == [
            standing.settled_as,
            "done",
        ]


async def test_a_rescue_is_nobodys_verdict(store: Any) -> None:
    await store.enqueue([new_job()])
    job = await claim_one(store)
    await store.cancel([job.id], EPOCH)
    await store.rescue(EPOCH + LEASE, 10)
    [standing] = await store.standing([job.lease])
    assert (standing.state, standing.held, standing.settled_as) == (State.CANCELLED, False, None)


async def test_a_done_job_that_is_retried_still_knows_who_had_done_it(store: Any) -> None:
    await store.enqueue([new_job()])
    job = await claim_one(store)
    await store.settle([settlement(job.lease)], EPOCH)
    await store.retry([job.id], EPOCH)
    [standing] = await store.standing([job.lease])
    assert (standing.state, standing.settled_as) == (State.QUEUED, "done")


async def test_a_job_that_is_gone_stands_nowhere(store: Any) -> None:
    await store.enqueue([new_job()])
    job = await claim_one(store)
    await store.settle([settlement(job.lease)], EPOCH)
    await store.remove([job.id])
    assert await store.standing([job.lease]) == []
    assert await store.standing([]) == []


async def test_a_claim_brings_the_tags(store: Any) -> None:
    await store.enqueue([new_job(tags=["a", "b"]), new_job()])
    assert (await claim_one(store)).tags == ["a", "b"]
    assert (await claim_one(store)).tags == []
