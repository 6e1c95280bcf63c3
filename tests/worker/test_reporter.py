"""What a job says meanwhile arrives, whatever it says it with and whatever the store does."""

import logging
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

import pytest
import trio
from trio.testing import MockClock

from trio_jobs.errors import Unavailable
from trio_jobs.job import State
from trio_jobs.registry import Ctx, Handler

from ..conftest import StartSystem, in_place

T = TypeVar("T")
log = logging.getLogger("a.library")


class Store:
    """A `run_sync` whose transactions take `seconds`, and fail while `down`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.down = False

    async def __call__(self, call: Callable[..., T], *args: Any) -> T:
        if getattr(call, "__name__", "") == "_transact":
            await trio.sleep(self.seconds)
            if self.down:
                raise Unavailable("the database is busy")
        return await in_place(call, *args)


@pytest.mark.parametrize("done", [Fraction(1, 2), Decimal("1.5"), 10**30, True, 0])
async def test_a_number_of_any_kind_neither_ends_the_worker_nor_makes_the_job_unreadable(
    start_system: StartSystem, autojump_clock: MockClock, done: Any
) -> None:
    async def run(_input: object, ctx: Ctx) -> None:
        ctx.progress(done, done)
        await trio.sleep(1)
        assert ctx.cancel_reason is None

    system = await start_system([Handler("count", run)])
    job = await system.until(await system.enqueue("count"))
    assert job.state is State.DONE
    assert job.progress is not None
    assert (job.progress.done, job.progress.total) == (float(done), float(done))


@pytest.mark.parametrize("end", [0.55, 0.6, 2.5])
@pytest.mark.parametrize("seconds", [0.0, 0.3])
async def test_lines_that_the_store_refused_are_not_lost_when_the_job_ends(
    start_system: StartSystem, autojump_clock: MockClock, end: float, seconds: float
) -> None:
    """Its last words alone are not all it said, also when it ends while the store thinks."""
    store = Store()

    async def run(_input: object, ctx: Ctx) -> None:
        log.warning("first")
        ctx.progress(1, 2)
        store.down, store.seconds = True, seconds
        await trio.sleep(end)
        log.warning("last")

    system = await start_system([Handler("talk", run)], run_sync=store)
    id_ = await system.enqueue("talk")
    await trio.sleep(end + 1)
    store.down = False
    job = await system.until(id_)
    assert job.progress is not None
    assert job.progress.done == 1
    lines = await system.service.logs(id_)
    assert [(line.n, line.message) for line in lines] == [(1, "first"), (2, "last")]


async def test_a_report_on_its_way_when_the_job_ends_still_arrives(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    store = Store(seconds=0.2)

    async def run(_input: object, ctx: Ctx) -> None:
        log.warning("first")
        await trio.sleep(0.51)
        log.warning("last")

    system = await start_system([Handler("talk", run)], run_sync=store)
    id_ = await system.enqueue("talk")
    await system.until(id_)
    assert [line.message for line in await system.service.logs(id_)] == ["first", "last"]


async def test_newer_progress_is_not_replaced_by_what_could_not_be_written_before(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    store = Store()

    async def run(_input: object, ctx: Ctx) -> None:
        store.seconds, store.down = 0.3, True
        ctx.progress(1)
        await trio.sleep(0.6)  # the first report is on its way
        ctx.progress(2)
        await trio.sleep(1)
        store.down = False
        await trio.sleep(5)

    system = await start_system([Handler("count", run)], run_sync=store)
    id_ = await system.enqueue("count")
    await trio.sleep(4)
    job = await system.service.get(id_)
    assert job.state is State.RUNNING
    assert job.progress is not None
    assert job.progress.done == 2
