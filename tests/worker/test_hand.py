"""What a handler is given is its job's own, to the letter and whoever wrote it."""

from collections.abc import Callable
from typing import Any, TypeVar

import trio
from trio.testing import MockClock

from trio_jobs import logs
from trio_jobs.backoff import Backoff
from trio_jobs.config import Settings
from trio_jobs.job import State
from trio_jobs.registry import Ctx, Handler, Registry
from trio_jobs.storage.records import Claimed, NewJob
from trio_jobs.worker.hand import Hand

from ..conftest import EPOCH, StartSystem, in_place, now

T = TypeVar("T")


async def slow(call: Callable[..., T], *args: Any) -> T:
    """A `run_sync` whose transactions take a while."""
    if getattr(call, "__name__", "") == "_transact":
        await trio.sleep(0.2)
    return await in_place(call, *args)


async def test_the_deadline_that_a_handler_knows_is_that_of_its_job_to_the_letter(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    """However long its claim took."""
    seen: list[float] = []

    async def run(_input: object, ctx: Ctx) -> None:
        seen.append(ctx.deadline)

    system = await start_system([Handler("look", run)], run_sync=slow)
    await system.until(await system.enqueue("look", deadline=EPOCH + 10.125))
    assert seen == [EPOCH + 10.125]


async def test_a_backoff_that_nobody_understands_any_more_is_left_to_the_handler(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    """Jobs outlive the version that took them, and one of them must not end the worker."""

    async def run(_input: object, _ctx: Ctx) -> None:
        raise ValueError("boom")

    id_ = "019a0000-0000-7000-8000-000000000001"
    job = NewJob(
        id_, "fail", "default", 0, State.QUEUED, 2, None, None, now(), now(), "{}", None,
        "application/json", backoff={"kind": "fibonacci"},
    )  # fmt: skip
    system = await start_system([Handler("fail", run, backoff=Backoff("fixed", 7.0, jitter=0.0))])
    await system.store.enqueue([job])
    waiting = await system.until(id_, State.SCHEDULED)
    assert waiting.run_at == EPOCH + 7


async def test_log_lines_are_about_a_job_while_it_runs_and_no_longer() -> None:
    """A slot runs one job after the other in one task."""
    seen: list[object] = []

    async def run(_input: object, _ctx: Ctx) -> None:
        seen.append(logs.job.get())

    hand = Hand(Registry([Handler("look", run)]), Settings(), now=now)
    job = Claimed("id", "look", "q", 1, 1, 0, None, 7, now(), "{}", None, "application/json", None)
    await hand.run(job, hand.attempt(job))
    assert seen == [job]
    assert logs.job.get() is None
