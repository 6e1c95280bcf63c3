"""Whoever wants to hear of a job's end gets a job of ours that tells, together with that end."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import trio

from trio_jobs.errors import Conflict
from trio_jobs.job import CRASHES_ALLOWED, Event, State
from trio_jobs.metrics import Metrics, families
from trio_jobs.storage.alongside import enqueue_in
from trio_jobs.storage.records import Job, NewJob

from ..conftest import EPOCH
from .conftest import Audited, Backend, SqliteBackend
from .jobs import (
    LEASE,
    all_jobs,
    bring_to,
    claim,
    claim_one,
    due_in,
    job_of,
    keyed,
    new_job,
    settlement,
    with_result,
)

URL = "https://example.com/hook"


def telling(job: Job) -> NewJob:
    """A callback whose payload is the job as it was given."""
    return new_job(msgspec.json.encode(job), type="told", created_at=job.updated_at)


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Any]:
    """An open store that calls back, its counters under audit."""
    async with backend.open(callback=telling) as store:
        yield Audited(store, backend)


def called(**changes: Any) -> NewJob:
    return new_job(**{"callback_url": URL, **changes})


async def told(store: Any) -> list[Job]:
    """The jobs as they were when they ended, in the order of that."""
    made = [await job_of(store, job.id) for job in reversed(await all_jobs(store, types=["told"]))]
    assert all(job.callback_url is None for job in made), "a callback has none itself"
    return [msgspec.json.decode(job.payload_text or "", type=Job) for job in made]


async def ends(store: Any, *states: State) -> None:
    assert [job.state for job in await told(store)] == list(states)


ENDS = {
    Event.SUCCEED: State.DONE,
    Event.FAIL: State.FAILED,
    Event.CANCEL: State.CANCELLED,
}


@pytest.mark.parametrize("event", ENDS)
async def test_a_verdict_that_ends_a_job_calls_back_with_the_job_as_it_is_then(
    store: Any, event: Event
) -> None:
    new = called(payload=b'{"a":"\xc3\xa9"}', tags=["x"], traceparent="00-1", params={"p": "1"})
    held = await bring_to(store, State.RUNNING, new)
    await store.settle([settlement(held.lease, event)], EPOCH + 1)
    assert await told(store) == [await job_of(store, held.id)]
    await ends(store, ENDS[event])
    [job] = await told(store)
    assert (job.callback_url, job.finished_at) == (URL, EPOCH + 1)


@pytest.mark.parametrize("event", [Event.RETRY_LATER, Event.SNOOZE, Event.RELEASE])
async def test_a_job_that_goes_on_calls_nobody(store: Any, event: Event) -> None:
    held = await bring_to(store, State.RUNNING, called())
    await store.settle([settlement(held.lease, event)], EPOCH)
    await ends(store)


async def test_a_result_of_raw_bytes_is_told(store: Any) -> None:
    new = called(payload=b"\xff\x00", content_type="image/png")
    held = await bring_to(store, State.RUNNING, new)
    await store.settle([with_result(held, b"\x00\xfe", "image/gif")], EPOCH)
    [job] = await told(store)
    assert job == await job_of(store, held.id)
    assert (job.payload_hex or "").lower() == "ff00"


async def test_bodies_of_more_than_20_kb_stay_at_home(store: Any) -> None:
    held = await bring_to(store, State.RUNNING, called())
    await store.settle([with_result(held, b'"' + b"x" * 20_000 + b'"')], EPOCH)
    [job] = await told(store)
    assert (job.payload_text, job.result_text) == (None, None)
    assert job.result_content_type == "application/json"


async def test_a_verdict_that_comes_too_late_calls_nobody(store: Any) -> None:
    late = await bring_to(store, State.RUNNING, called())
    await store.rescue(EPOCH + LEASE, 10)
    held = await claim_one(store, now=EPOCH + LEASE)
    assert await store.settle([settlement(late.lease)], EPOCH + LEASE) == set()
    await ends(store)
    await store.settle([settlement(held.lease)], EPOCH + LEASE)
    await store.settle([settlement(held.lease, Event.FAIL)], EPOCH + LEASE)
    await ends(store, State.DONE)


async def test_cancelling_a_job_that_waits_calls_back_and_one_that_runs_when_it_stops(
    store: Any,
) -> None:
    waiting, later = called(), due_in(60, callback_url=URL)
    await store.enqueue([waiting, later])
    await store.cancel([waiting.id, later.id, waiting.id], EPOCH)
    await ends(store, State.CANCELLED, State.CANCELLED)
    await store.cancel([waiting.id], EPOCH)
    held = await bring_to(store, State.RUNNING, called())
    await store.cancel([held.id], EPOCH)
    await ends(store, State.CANCELLED, State.CANCELLED)
    await store.settle([settlement(held.lease, Event.RELEASE)], EPOCH)
    await ends(store, *[State.CANCELLED] * 3)


async def test_a_deadline_that_passes_calls_back(store: Any) -> None:
    await store.enqueue([called(deadline=EPOCH + 5), called(deadline=EPOCH + 50)])
    await store.expire(EPOCH + 5, 10)
    [job] = await told(store)
    assert (job.state, job.reason) == (State.CANCELLED, "deadline")


async def test_a_job_that_crashes_its_workers_calls_back_once_it_is_given_up(store: Any) -> None:
    await store.enqueue([called()])
    now = EPOCH
    for _ in range(CRASHES_ALLOWED):
        await ends(store)
        await claim_one(store, now=now)
        now += LEASE
        await store.rescue(now, 10)
    [job] = await told(store)
    assert (job.state, job.reason) == (State.FAILED, "poison")
    assert job.error is not None


async def test_the_rescue_of_a_job_that_was_asked_to_stop_calls_back(store: Any) -> None:
    held = await bring_to(store, State.RUNNING, called())
    await store.cancel([held.id], EPOCH)
    await store.rescue(EPOCH + LEASE, 10)
    await ends(store, State.CANCELLED)


async def test_a_job_that_is_retried_and_ends_again_calls_back_again(store: Any) -> None:
    held = await bring_to(store, State.FAILED, called())
    await store.retry([held.id], EPOCH)
    again = await claim_one(store)
    assert again.id == held.id
    await store.settle([settlement(again.lease)], EPOCH)
    await ends(store, State.FAILED, State.DONE)


async def test_of_many_that_end_together_those_call_back_who_have_somebody(store: Any) -> None:
    jobs = [called() if n % 3 else new_job() for n in range(90)]
    await store.enqueue(jobs)
    held = await claim(store, 90)
    await store.settle([settlement(job.lease) for job in held], EPOCH)
    wanted = {job.id for job in jobs if job.callback_url is not None}
    found = [job.id for job in await told(store)]
    assert (set(found), len(found)) == (wanted, 60)


async def test_a_job_that_is_gone_in_the_transaction_of_its_end_has_called_back(
    store: Any,
) -> None:
    held = await bring_to(store, State.RUNNING, called())
    async with trio.open_nursery() as nursery:  # one batch, in which settles come first
        nursery.start_soon(store.settle, [settlement(held.lease)], EPOCH)
        nursery.start_soon(store.remove, [held.id])
    assert await store.get([held.id]) == {}
    await ends(store, State.DONE)


class Crashed(Exception):
    """As if the process had died."""


async def test_an_end_without_its_callback_never_was(backend: Backend) -> None:
    broken = True

    def sometimes(job: Job) -> NewJob:
        if broken:
            raise Crashed
        return telling(job)

    async with backend.open(callback=sometimes) as store:
        held = await bring_to(store, State.RUNNING, called())
        with pytest.raises(Crashed):
            await store.settle([settlement(held.lease)], EPOCH)
        assert (await job_of(store, held.id)).state is State.RUNNING
        await ends(store)
        broken = False
        await store.settle([settlement(held.lease)], EPOCH)
        await ends(store, State.DONE)
        assert await store.counts() == backend.recount()


async def test_the_job_that_stands_for_another_keeps_whom_it_tells(store: Any) -> None:
    first = keyed("k", callback_url=URL)
    await store.enqueue([first])
    await store.enqueue([keyed("k", callback_url="https://example.com/second")])
    assert (await job_of(store, first.id)).callback_url == URL
    with pytest.raises(Conflict):
        await store.enqueue([keyed("k", on_conflict="reject", callback_url="https://e.com/")])
    await store.enqueue([keyed("k", on_conflict="replace")])
    assert (await job_of(store, first.id)).callback_url == URL
    await store.enqueue([keyed("k", on_conflict="replace", callback_url="https://e.com/new")])
    assert (await job_of(store, first.id)).callback_url == "https://e.com/new"
    held = await claim_one(store)
    await store.settle([settlement(held.lease)], EPOCH)
    assert [job.callback_url for job in await told(store)] == ["https://e.com/new"]


async def test_a_job_made_in_somebody_elses_transaction_calls_back(
    store: Any, backend: Any
) -> None:
    job = called()
    if isinstance(backend, SqliteBackend):
        mine: Any = backend.audit()
    else:
        psycopg = pytest.importorskip("psycopg")
        mine = psycopg.connect(backend.url, autocommit=True)
    mine.execute("begin")
    enqueue_in(mine, job)
    mine.execute("commit")
    if not isinstance(backend, SqliteBackend):
        mine.close()
    await store.cancel([job.id], EPOCH)
    await ends(store, State.CANCELLED)


async def test_callbacks_are_counted_as_jobs_that_came(backend: Backend) -> None:
    metrics = Metrics(["noop", "told"])
    async with backend.open(callback=telling, metrics=metrics) as store:
        held = await bring_to(store, State.RUNNING, called())
        await store.settle([settlement(held.lease)], EPOCH)
    assert metrics.counts()[families.ENQUEUED]["default", "told"] == 1


async def test_the_callback_is_claimed_without_waiting_for_a_poll(backend: Backend) -> None:
    async with backend.open(callback=telling) as store:
        held = await bring_to(store, State.RUNNING, called())
        await store.doorbell.wait(0)  # what has rung so far
        await store.settle([settlement(held.lease)], EPOCH)
        assert await store.doorbell.wait(0)
