"""Each call does what it says, whichever client makes it."""

from datetime import UTC, datetime, timedelta

import pytest
import trio

from trio_jobs.client import (
    Conflict,
    Invalid,
    JobFailed,
    NotFound,
    Outdated,
    TimedOut,
)

from .conftest import NOBODY


async def test_a_job_is_stored_run_and_waited_for(jobs):
    job = await jobs.enqueue("sleep", {"seconds": 0.01}, tags=["a", "b"], priority=3)
    assert (job.tags, job.priority, job.input) == (("a", "b"), 3, {"seconds": 0.01})
    assert job.created_at.tzinfo is not None
    done = await jobs.wait(job.id, timeout=10)
    assert done.succeeded
    assert done.output == {"slept": 0.01}
    assert done.finished_at > done.created_at
    assert await jobs.result(job.id) == done.result == b'{"slept":0.01}'
    assert await jobs.get(job.id) == done


async def test_submit_and_wait_is_one_call(jobs):
    assert (await jobs.enqueue("sleep", {"seconds": 0.01}, wait=10)).output == {"slept": 0.01}


async def test_a_failed_job_raises_unless_it_is_not_to_be_checked(jobs):
    job = await jobs.enqueue("sleep", {"seconds": 10}, timeout=0.01, max_attempts=1)
    with pytest.raises(JobFailed, match="failed: Timeout") as caught:
        await jobs.wait(job.id, timeout=10)
    assert caught.value.job.reason == "timeout"
    assert (await jobs.wait(job.id, check=False)).state == "failed"


async def test_waiting_ends_when_its_time_is_over(jobs):
    job = await jobs.enqueue("noop", delay=60)
    with pytest.raises(TimedOut, match="scheduled"):
        await jobs.wait(job.id, timeout=0.05)


async def test_times_may_be_datetimes_and_need_a_zone(jobs):
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    job = await jobs.enqueue("noop", run_at=tomorrow, deadline=tomorrow + timedelta(days=1))
    assert (job.run_at, job.deadline) == (tomorrow, tomorrow + timedelta(days=1))
    with pytest.raises(Invalid, match="/run_at"):
        await jobs.enqueue("noop", run_at=tomorrow.replace(tzinfo=None))


async def test_a_refusal_says_what_is_wrong_and_where(jobs):
    with pytest.raises(Invalid) as caught:
        await jobs.enqueue("sleep", {"seconds": "long"})
    assert [fault.pointer for fault in caught.value.faults] == ["/input/seconds"]
    with pytest.raises(Invalid, match="noop") as caught:
        await jobs.enqueue("what")
    assert caught.value.kind == "unknown-type"
    with pytest.raises(NotFound):
        await jobs.get(NOBODY)
    with pytest.raises(ValueError, match="nan"):
        await jobs.enqueue("noop", {"n": [float("nan")]})


async def test_a_unique_key_and_an_idempotency_key_get_the_same_job(jobs, queue):
    first = await jobs.enqueue("noop", queue=queue, delay=60, unique_key=queue)
    again = await jobs.enqueue("noop", queue=queue, delay=60, unique_key=queue)
    assert (again.id, again.deduplicated, first.deduplicated) == (first.id, True, False)
    with pytest.raises(Conflict, match=first.id):
        await jobs.enqueue("noop", unique_key=queue, on_conflict="reject")
    one, two = [await jobs.enqueue("noop", idempotency_key=queue) for _ in range(2)]
    assert one.id == two.id


async def test_bytes_are_uploaded_as_they_are(jobs):
    job = await jobs.upload(
        "process_file",
        b"a\nb\0",
        "text/plain",
        params={"operation": "count"},
        tags=["x", "y"],
        backoff=[1, 2],
        wait=10,
    )
    assert job.output["bytes"] == 4
    assert (job.payload, job.tags) == (b"a\nb\0", ("x", "y"))


async def test_many_jobs_are_stored_and_bad_ones_are_named(jobs, queue, count):
    told = []
    wishes = [{"type": "noop", "queue": queue, "delay": 60} for _ in range(2_100)]
    wishes[2_050] = {"type": "what"}
    wishes[7]["idempotency_key"] = wishes[8]["idempotency_key"] = queue
    report = await jobs.enqueue_many((wish for wish in wishes), told.append)
    assert (report.created, report.replayed, report.failed) == (2_098, 1, 1)
    assert [(error.line, error.problem.status) for error in report.errors] == [(2_051, 422)]
    assert [one.total for one in told] == [2_000, 2_100]
    assert count() == 2_098


async def test_a_list_goes_on_over_all_pages(jobs, queue):
    wishes = [{"type": "noop", "queue": queue, "delay": 60, "input": {"n": n}} for n in range(510)]
    await jobs.enqueue_many(wishes)
    found = [job.id async for job in jobs.list(queue=queue, state=["scheduled", "queued"])]
    assert len(set(found)) == 510
    assert found == sorted(found, reverse=True)
    (one,) = [job async for job in jobs.list(queue=queue, input={"n": 7}, include=["input"])]
    assert one.input == {"n": 7}


async def test_a_job_is_moved_about(jobs):
    job = await jobs.enqueue("noop", delay=60)
    changed = await jobs.amend(job.id, version=job.version, priority=9)
    assert changed.priority == 9
    with pytest.raises(Outdated):
        await jobs.amend(job.id, version=job.version, priority=8)
    assert (await jobs.snooze(job.id, 90)).run_at > job.run_at
    await jobs.run_now(job.id)
    await jobs.wait(job.id, timeout=10)
    with pytest.raises(Conflict):
        await jobs.cancel(job.id)
    assert not (await jobs.retry(job.id)).ended
    await jobs.wait(job.id, timeout=10)
    await jobs.remove(job.id)
    with pytest.raises(NotFound):
        await jobs.remove(job.id)


async def test_many_jobs_are_moved_at_once(jobs, queue):
    wishes = [{"type": "noop", "queue": queue, "delay": 60} for _ in range(700)]
    await jobs.enqueue_many(wishes)
    assert (await jobs.bulk("cancel", filter={"queue": queue}, dry_run=True)).matched == 700
    told = []
    report = await jobs.bulk("cancel", filter={"queue": queue}, progress=told.append)
    assert (report.done, report.finished, told[-1]) == (700, True, report)
    ids = [job.id async for job in jobs.list(queue=queue)]
    assert (await jobs.bulk("delete", ids[:10])).done == 10
    with pytest.raises(Invalid):
        await jobs.bulk("cancel")


async def test_a_queue_is_paused_resumed_and_purged(jobs, queue):
    assert (await jobs.pause(queue)).paused
    job = await jobs.enqueue("noop", queue=queue)
    (shown,) = [one for one in await jobs.queues() if one.name == queue]
    assert (shown.paused, shown.jobs["queued"]) == (True, 1)
    assert (await jobs.purge(queue)).done == 1
    assert not (await jobs.resume(queue)).paused
    with pytest.raises(JobFailed, match="cancelled"):
        await jobs.wait(job.id, timeout=10)


async def test_the_service_tells_its_types_and_workers(jobs):
    assert "send_email" in {one.type for one in await jobs.types()}
    (worker,) = await jobs.workers()
    assert worker.slots > 0


async def test_the_events_of_a_job_end_with_it(jobs):
    job = await jobs.enqueue("sleep", {"seconds": 0.05})
    events = [event async for event in jobs.events(job.id)]
    assert events[-1].name == "job.done"
    assert {event.id for event in events} == {job.id}
    assert [event async for event in jobs.events(job.id, after=events[-1].seq)] == []


async def test_all_events_are_followed_until_one_has_enough(jobs, queue):
    begin = await jobs.enqueue("noop", wait=10)
    (*_, last) = [event async for event in jobs.events(begin.id)]
    job = await jobs.enqueue("noop", queue=queue)
    async with jobs.events(after=last.seq) as events:
        with trio.fail_after(10):
            async for event in events:
                if event.id == job.id and event.ended:
                    break
