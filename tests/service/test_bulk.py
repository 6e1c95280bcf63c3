"""One wish for many jobs."""

import pytest
from trio.testing import MockClock

from trio_jobs.errors import InvalidInput
from trio_jobs.job import State
from trio_jobs.service import BulkProgress, Order
from trio_jobs.storage.wishes import Filter

from .conftest import Queue, StartQueue


async def fill(to: Queue, n: int, **options: object) -> list[str]:
    placed = await to.service.enqueue([Order(type="any", **options)] * n)  # type: ignore[arg-type]
    return [one.job.id for one in placed]


async def test_thousands_are_cancelled_in_slices_and_progress_only_grows(
    start_queue: StartQueue,
    autojump_clock: MockClock,
) -> None:
    queue = await start_queue()
    await fill(queue, 1_200)
    await fill(queue, 30, queue="other")
    told: list[BulkProgress] = []

    async def report(progress: BulkProgress) -> None:
        told.append(progress)

    result = await queue.service.bulk("cancel", filter=Filter(queues=["default"]), report=report)
    assert result == BulkProgress(1_200, 1_200, 0, 1.0, finished=True)
    assert await queue.store.counts() == {
        "default": {State.CANCELLED: 1_200},
        "other": {State.QUEUED: 30},
    }
    acting = [one for one in told if one.done]
    assert len(acting) >= 3
    assert [one.done for one in acting] == sorted(one.done for one in acting)
    assert all(one.matched == 1_200 for one in acting), "counted before the first is touched"
    assert [one.scanned for one in acting] == sorted(one.scanned for one in acting)


async def test_a_dry_run_counts_what_would_change_and_changes_nothing(
    start_queue: StartQueue,
    autojump_clock: MockClock,
) -> None:
    queue = await start_queue()
    ids = await fill(queue, 25)
    before = await queue.store.counts()
    for action, matched in (("cancel", 25), ("retry", 0), ("delete", 0)):
        expected = BulkProgress(matched, scanned=1.0, finished=True)
        by_filter = await queue.service.bulk(action, filter=Filter(), dry_run=True)  # type: ignore[arg-type]
        by_ids = await queue.service.bulk(action, ids=ids, dry_run=True)  # type: ignore[arg-type]
        assert by_filter == by_ids == expected
    assert await queue.store.counts() == before


async def test_ids_that_do_not_exist_or_cannot_are_skipped_and_twice_is_once(
    start_queue: StartQueue,
    autojump_clock: MockClock,
) -> None:
    queue = await start_queue()
    first, second = await fill(queue, 2)
    await queue.service.cancel(second)
    nobody = "0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d"
    result = await queue.service.bulk("cancel", ids=[first, second, nobody, first])
    assert result == BulkProgress(3, 1, 2, 1.0, finished=True)
    result = await queue.service.bulk("delete", ids=[first, second])
    assert result == BulkProgress(2, 2, 0, 1.0, finished=True)
    assert await queue.service.bulk("delete", ids=[]) == BulkProgress(0, 0, 0, 1.0, finished=True)


async def test_retry_and_delete_mean_only_what_has_ended(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    ended, waiting = await fill(queue, 3), await fill(queue, 2)
    await queue.service.bulk("cancel", ids=ended)
    result = await queue.service.bulk("delete", filter=Filter(types=["any"]))
    assert (result.matched, result.done) == (3, 3)
    assert [job.id for job in (await queue.service.list_jobs()).jobs] == waiting[::-1]


async def test_states_that_are_named_hold_even_where_nothing_can_be_done(
    start_queue: StartQueue,
    autojump_clock: MockClock,
) -> None:
    queue = await start_queue()
    await fill(queue, 2)
    result = await queue.service.bulk("delete", filter=Filter(states=[State.QUEUED]))
    assert result == BulkProgress(2, 0, 2, 1.0, finished=True)


async def test_jobs_that_arrive_meanwhile_do_not_keep_it_running_for_ever(
    start_queue: StartQueue,
    autojump_clock: MockClock,
) -> None:
    queue = await start_queue()
    await fill(queue, 600)

    async def report(_progress: BulkProgress) -> None:
        await fill(queue, 600)

    result = await queue.service.bulk("cancel", filter=Filter(), report=report)
    assert result.finished
    assert result.done == result.matched < 3_000


async def test_a_stop_ends_it_between_two_slices(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    ids = await fill(queue, 1_200)

    async def report(progress: BulkProgress) -> None:
        if progress.done:
            queue.service.drain()

    result = await queue.service.bulk("cancel", filter=Filter(), report=report)
    assert (result.finished, result.done) == (False, 500)
    assert not (await queue.service.bulk("cancel", ids=ids)).finished


async def test_it_must_be_said_which_jobs_are_meant(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    with pytest.raises(InvalidInput):
        await queue.service.bulk("cancel")
    with pytest.raises(InvalidInput):
        await queue.service.bulk("cancel", ids=[], filter=Filter())
    with pytest.raises(InvalidInput):
        await queue.service.bulk("forget", ids=[])  # type: ignore[arg-type]


async def test_a_purge_cancels_what_waits_and_leaves_what_runs(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    await fill(queue, 3)
    await fill(queue, 2, delay=50.0)
    await fill(queue, 1, queue="other")
    await queue.claim()
    result = await queue.service.purge("default")
    assert (result.done, result.finished) == (4, True)
    counts = await queue.store.counts()
    assert counts["default"] == {State.RUNNING: 1, State.CANCELLED: 4}
    assert counts["other"] == {State.QUEUED: 1}
