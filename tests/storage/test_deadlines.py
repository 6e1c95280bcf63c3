"""Jobs that nobody needs any more once their deadline has passed."""

from typing import Any

import pytest

from trio_jobs.job import State
from trio_jobs.storage.wishes import Amendment

from ..conftest import EPOCH
from .conftest import Backend
from .jobs import (
    WAYS,
    bring_to,
    claim,
    claim_one,
    due_in,
    job_of,
    keyed,
    new_job,
    settlement,
    state_of,
)

LATE = EPOCH + 10
WAITS = (State.SCHEDULED, State.QUEUED)


@pytest.mark.parametrize("state", WAYS)
async def test_only_a_job_that_waits_is_cancelled_by_its_deadline(store: Any, state: State) -> None:
    held = await bring_to(store, state, new_job(deadline=LATE))
    before = await job_of(store, held.id)
    assert await store.expire(LATE + 1, 9) == (state in WAITS, None)
    after = await job_of(store, held.id)
    if state not in WAITS:
        assert after == before
        return
    assert (after.state, after.reason) == (State.CANCELLED, "deadline")
    assert (after.finished_at, after.updated_at) == (LATE + 1, LATE + 1)
    assert (after.version, after.deadline) == (before.version + 1, LATE)


async def test_a_deadline_is_met_to_the_moment(store: Any) -> None:
    job = new_job(deadline=LATE)
    await store.enqueue([job])
    assert await store.expire(LATE - 0.001, 9) == (0, LATE)
    assert await state_of(store, job.id) is State.QUEUED
    assert await store.expire(LATE, 9) == (1, None)
    assert await state_of(store, job.id) is State.CANCELLED


async def test_a_job_whose_deadline_has_passed_is_never_run(store: Any) -> None:
    job, soon, other = new_job(deadline=LATE), due_in(20, deadline=LATE), new_job()
    await store.enqueue([job, soon, other])
    await store.expire(LATE, 9)
    assert await store.promote(EPOCH + 30, 9) == (0, None)
    assert [held.id for held in await claim(store, now=EPOCH + 30)] == [other.id]
    assert (await claim(store, now=EPOCH + 30)) == []


async def test_the_earliest_go_first_in_slices_and_the_next_is_announced(store: Any) -> None:
    assert await store.expire(EPOCH, 9) == (0, None)
    jobs = [new_job(deadline=EPOCH + n) for n in (5, 3, 1, 4, 2)] + [new_job()]
    await store.enqueue(jobs)
    assert await store.expire(EPOCH, 9) == (0, EPOCH + 1)
    assert await store.expire(EPOCH + 4, 3) == (3, EPOCH + 4)
    assert await state_of(store, jobs[3].id) is State.QUEUED
    assert await store.expire(EPOCH + 4, 3) == (1, EPOCH + 5)
    assert await store.expire(EPOCH + 4, 3) == (0, EPOCH + 5)
    assert await store.expire(EPOCH + 9, 0) == (0, EPOCH + 5)
    assert await store.expire(EPOCH + 9, 3) == (1, None)
    assert await store.counts() == {"default": {State.CANCELLED: 5, State.QUEUED: 1}}


async def test_a_running_job_that_comes_back_too_late_is_cancelled_then(store: Any) -> None:
    await store.enqueue([new_job(deadline=LATE)])
    held = await claim_one(store)
    assert held.deadline == LATE
    assert await store.expire(LATE, 9) == (0, None)
    await store.rescue(EPOCH + 30, 9)
    assert await store.expire(EPOCH + 30, 9) == (1, None)
    assert (await job_of(store, held.id)).reason == "deadline"
    assert await store.settle([settlement(held.lease)], EPOCH + 31) == set()


async def test_a_paused_queue_does_not_keep_what_nobody_needs(store: Any) -> None:
    job = new_job(deadline=LATE)
    await store.enqueue([job])
    await store.pause("default", EPOCH)
    assert await store.expire(LATE, 9) == (1, None)


async def test_a_deadline_frees_the_unique_key(store: Any) -> None:
    old, new = keyed("k", deadline=LATE), keyed("k")
    await store.enqueue([old])
    await store.expire(LATE, 9)
    assert (await store.enqueue([new])).ids == [new.id]


async def test_a_postponed_job_keeps_its_deadline(store: Any) -> None:
    job = new_job(deadline=LATE)
    await store.enqueue([job])
    await store.amend([Amendment(job.id, run_at=LATE + 5)], EPOCH)
    assert await store.expire(LATE, 9) == (1, None)


async def test_a_deadline_that_passed_while_we_were_away_is_seen(backend: Backend) -> None:
    job = new_job(deadline=LATE)
    async with backend.open() as store:
        await store.enqueue([job])
    async with backend.open() as store:
        assert await store.expire(LATE + 1_000, 9) == (1, None)
        assert await state_of(store, job.id) is State.CANCELLED
