"""Who listens hears everything once; who does not, costs nothing."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_jobs.job import State
from trio_jobs.service import Order, Subscription, Watch
from trio_jobs.service import watch as module
from trio_jobs.storage.watching import Changes

from ..conftest import now
from .conftest import Queue, StartQueue


async def hear(pages: Subscription, n: int) -> list[tuple[str, str]]:
    """The next `n` changes, as (id, event)."""
    heard: list[tuple[str, str]] = []
    while len(heard) < n:
        page = await anext(pages)
        assert page.complete
        heard += [(change.id, change.event) for change in page.changes]
    return heard


async def test_a_life_is_told_in_its_order(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    async with queue.service.watch.subscribe() as everything:
        id_ = await queue.enqueue()
        other = await queue.enqueue(queue="other", delay=5.0)
        assert await hear(everything, 2) == [(id_, "queued"), (other, "scheduled")]
        async with queue.service.watch.subscribe(id_) as its_own:
            await queue.end(id_)
            await queue.service.cancel(other)
            assert await hear(its_own, 2) == [(id_, "running"), (id_, "done")]
            heard = await hear(everything, 3)
            assert heard == [(id_, "running"), (id_, "done"), (other, "cancelled")]


async def test_what_happened_before_is_not_told_unless_asked_for(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    first = await queue.enqueue()
    async with queue.service.watch.subscribe() as pages:
        start = pages.last
        second = await queue.enqueue()
        assert await hear(pages, 1) == [(second, "queued")]
    async with queue.service.watch.subscribe(after=start) as pages:
        assert await hear(pages, 1) == [(second, "queued")]
    async with queue.service.watch.subscribe(after=0) as pages:
        assert await hear(pages, 2) == [(first, "queued"), (second, "queued")]


async def test_a_replay_and_the_present_meet_without_a_gap_or_an_echo(
    start_queue: StartQueue,
    autojump_clock: MockClock,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PAGE", 7)
    queue = await start_queue()
    ids = [await queue.enqueue() for _ in range(50)]

    async def more() -> None:
        for _ in range(50):
            ids.append(await queue.enqueue())
            await trio.sleep(0.003)

    async with queue.service.watch.subscribe() as live:  # the hub is on its way already
        nursery.start_soon(more)
        async with queue.service.watch.subscribe(after=0) as late:
            heard = await hear(late, 100)
        assert heard == [(id_, "queued") for id_ in ids]
        assert await hear(live, 50) == heard[50:]


async def test_a_slow_reader_misses_nothing_and_holds_little(
    start_queue: StartQueue, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BUFFERED", 10)
    monkeypatch.setattr(module, "PAGE", 4)
    queue = await start_queue()
    async with queue.service.watch.subscribe() as slow:
        ids: list[str] = []
        for _ in range(3):
            ids += [await queue.enqueue() for _ in range(15)]
            await trio.sleep(1)
            assert len(slow._buffer) <= 10
        assert [id_ for id_, _ in await hear(slow, 20)] == ids[:20]
        ids += [await queue.enqueue() for _ in range(15)]
        await trio.sleep(1)
        assert [id_ for id_, _ in await hear(slow, 40)] == ids[20:]


async def test_a_wait_that_is_given_up_loses_nothing(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    async with queue.service.watch.subscribe() as pages:
        for _ in range(5):
            with trio.move_on_after(0.013):
                await anext(pages)
                raise AssertionError("nothing has happened")
        id_ = await queue.enqueue()
        assert await hear(pages, 1) == [(id_, "queued")]


async def test_whoever_comes_with_a_number_from_another_database_is_told(
    start_queue: StartQueue,
    autojump_clock: MockClock,
) -> None:
    queue = await start_queue()
    await queue.enqueue()
    async with queue.service.watch.subscribe(after=1_000_000) as pages:
        page = await anext(pages)
        assert (page.changes, page.complete) == ([], False)
        id_ = await queue.enqueue()
        assert await hear(pages, 1) == [(id_, "queued")]


class Forgetful:
    """Stands where the store would, with its memory gone."""

    def __init__(self, queue: Queue) -> None:
        self.changes_bell = queue.store.changes_bell

    async def changes(self, after: int | None, limit: int) -> Changes:
        await trio.lowlevel.checkpoint()
        complete = after is None or after >= 5
        return Changes([], 5, more=False, complete=complete)


async def test_a_gap_that_nobody_can_fill_is_told_once(
    start_queue: StartQueue, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store: Any = Forgetful(await start_queue(watched=False))
    watch = Watch(store)
    await nursery.start(watch.run)
    watch._position = 1
    watch._wanted.set()
    async with watch.subscribe() as live, watch.subscribe("id", after=2) as late:
        for pages in (live, late):
            page = await anext(pages)
            assert (page.changes, page.complete) == ([], False)
        with trio.move_on_after(5) as scope:
            await anext(live)
        assert scope.cancelled_caught
    watch.close()


async def test_nothing_is_read_while_nobody_listens(
    start_queue: StartQueue, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = await start_queue()
    reads = 0
    changes = queue.store.changes

    async def counted(after: int | None, limit: int) -> Changes:
        nonlocal reads
        reads += 1
        return await changes(after, limit)

    monkeypatch.setattr(queue.store, "changes", counted)
    for _ in range(10):
        await queue.enqueue()
    await trio.sleep(60)
    assert reads == 0
    async with queue.service.watch.subscribe() as pages:
        await queue.enqueue()
        await anext(pages)
    await trio.sleep(1)
    before = reads
    await queue.enqueue()
    await trio.sleep(60)
    assert reads == before
    assert queue.service.watch._of_job == {}


async def test_a_busy_service_is_read_in_pages_not_change_by_change(
    start_queue: StartQueue, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = await start_queue()
    async with queue.service.watch.subscribe() as pages:
        n = 0
        for _ in range(100):
            await queue.enqueue()
            await trio.sleep(0.001)
        heard = 0
        while heard < 100:
            heard += len((await anext(pages)).changes)
            n += 1
        assert n < 30


async def test_a_stop_ends_those_who_listen_and_those_who_come(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    async with (
        trio.open_nursery() as nursery,
        queue.service.watch.subscribe() as pages,
    ):
        nursery.start_soon(wait_and_drain, queue)
        assert [page async for page in pages] == []
    async with queue.service.watch.subscribe() as pages:
        assert [page async for page in pages] == []


async def wait_and_drain(queue: Queue) -> None:
    await wait_all_tasks_blocked()
    queue.service.drain()


# ── wait ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_wait_ends_with_the_job(
    start_queue: StartQueue, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    id_ = await queue.enqueue()

    async def work() -> None:
        await trio.sleep(7)
        await queue.end(id_)

    nursery.start_soon(work)
    start = trio.current_time()
    job = await queue.service.wait(id_, 30)
    assert job.state is State.DONE
    assert trio.current_time() - start < 7.1
    assert (await queue.service.wait(id_, 30)).state is State.DONE
    assert trio.current_time() - start < 7.1


async def test_a_wait_is_over_when_its_time_is_and_that_is_no_error(
    start_queue: StartQueue,
    autojump_clock: MockClock,
) -> None:
    queue = await start_queue()
    id_ = await queue.enqueue()
    for seconds in (0, 5):
        start = trio.current_time()
        assert (await queue.service.wait(id_, seconds)).state is State.QUEUED
        assert trio.current_time() - start == pytest.approx(seconds, abs=0.01)


async def test_a_wait_without_a_watch_still_ends(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue(watched=False)
    id_ = await queue.enqueue()
    assert (await queue.service.wait(id_, 5)).state is State.QUEUED


async def test_with_a_version_any_change_ends_a_wait(
    start_queue: StartQueue, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    queue = await start_queue()
    id_ = await queue.enqueue()
    seen = await queue.service.get(id_)

    async def work() -> None:
        await trio.sleep(1)
        await queue.claim()

    nursery.start_soon(work)
    job = await queue.service.wait(id_, 30, version=seen.version)
    assert job.state is State.RUNNING
    assert (await queue.service.wait(id_, 30, version=seen.version)).version == job.version


async def test_a_stop_sends_those_home_who_wait(
    start_queue: StartQueue, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    queue = await start_queue()
    id_ = await queue.enqueue()
    nursery.start_soon(wait_and_drain, queue)
    start = now()
    assert (await queue.service.wait(id_, 55)).state is State.QUEUED
    assert now() - start < 1


async def test_a_thousand_waits_are_one_reader(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    placed = await queue.service.enqueue([Order(type="any")] * 1_000)
    ids = [one.job.id for one in placed]
    ended: list[str] = []

    async def wait(id_: str) -> None:
        job = await queue.service.wait(id_, 55)
        assert job.state is State.CANCELLED
        ended.append(id_)

    async with trio.open_nursery() as nursery:
        for id_ in ids:
            nursery.start_soon(wait, id_)
        await wait_all_tasks_blocked()
        await queue.service.bulk("cancel", ids=ids)
    assert sorted(ended) == sorted(ids)
