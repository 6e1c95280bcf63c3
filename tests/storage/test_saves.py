"""What an attempt saves is there for the next one, and only the holder of the lease can save."""

from typing import Any

from trio_jobs.job import Event
from trio_jobs.storage.records import Claimed, Report

from ..conftest import EPOCH
from .jobs import LEASE, claim_one, new_job, settlement, state_of


def saying(job: Claimed, saved: str | None) -> Report:
    return Report(job.id, job.lease_token, None, [], saved)


async def test_the_next_attempt_gets_what_was_saved_last(store: Any) -> None:
    await store.enqueue([new_job()])
    first = await claim_one(store)
    assert first.saved is None
    assert await store.report([saying(first, '{"at":1}')], EPOCH) == {first.id}
    await store.report([saying(first, '{"at":"é"}')], EPOCH)
    await store.report([saying(first, None)], EPOCH)
    await store.settle([settlement(first.lease, Event.RELEASE)], EPOCH)
    assert (await claim_one(store)).saved == '{"at":"é"}'


async def test_what_comes_with_the_verdict_counts(store: Any) -> None:
    await store.enqueue([new_job()])
    first = await claim_one(store)
    verdict = settlement(first.lease, Event.RELEASE)
    await store.settle([verdict], EPOCH, [saying(first, "7")])
    assert (await claim_one(store)).saved == "7"


async def test_who_has_lost_the_lease_saves_nothing(store: Any) -> None:
    await store.enqueue([new_job()])
    late = await claim_one(store)
    await store.rescue(EPOCH + LEASE, 10)
    held = await claim_one(store, now=EPOCH + LEASE)
    assert await store.report([saying(late, "1"), saying(held, "2")], EPOCH) == {held.id}
    await store.settle([settlement(held.lease, Event.RELEASE)], EPOCH)
    assert (await claim_one(store)).saved == "2"


async def test_a_failed_job_goes_on_when_it_is_retried_and_a_done_one_begins_anew(
    store: Any,
) -> None:
    for event, saved in ((Event.FAIL, "1"), (Event.SUCCEED, None)):
        await store.enqueue([new_job()])
        job = await claim_one(store)
        await store.settle([settlement(job.lease, event)], EPOCH, [saying(job, "1")])
        assert (await state_of(store, job.id)).final
        await store.retry([job.id], EPOCH)
        again = await claim_one(store)
        assert (again.id, again.saved) == (job.id, saved)
        await store.settle([settlement(again.lease, Event.FAIL)], EPOCH)


async def test_it_goes_with_the_job(store: Any) -> None:
    await store.enqueue([new_job()])
    job = await claim_one(store)
    await store.settle([settlement(job.lease, Event.FAIL)], EPOCH, [saying(job, "1")])
    await store.remove([job.id])
    await store.enqueue([new_job()])
    assert (await claim_one(store)).saved is None
