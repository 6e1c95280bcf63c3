"""Limits of queues: none runs too much, and none waits for a poll when it could run."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trio_jobs.job import State
from trio_jobs.registry import Ctx, Handler

from ..conftest import StartSystem


async def brief(_input: Any, _ctx: Ctx) -> None:
    """A moment of work."""
    await trio.sleep(0.01)


@pytest.mark.parametrize("queue", ["media", "a", "b"])
async def test_a_queue_at_its_limit_goes_on_when_a_job_ends_and_not_at_the_next_poll(
    start_system: StartSystem, autojump_clock: MockClock, queue: str
) -> None:
    """Idle hands that are kept for other queues do not mean that there is nothing left to do."""
    system = await start_system(
        [Handler("brief", brief, input=object)], queues=("media:1", "*:1"), poll_interval=60.0
    )
    ids = [await system.enqueue("brief", queue=queue) for _ in range(20)]
    with trio.fail_after(1):
        for id_ in ids:
            await system.until(id_)


async def test_the_others_together_share_one_limit(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    running = most = 0

    async def run(_input: Any, _ctx: Ctx) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1

    system = await start_system([Handler("run", run, input=object)], queues=("media:9", "*:2"))
    ids = [await system.enqueue("run", queue=f"queue-{n}") for n in range(6)]
    for id_ in ids:
        await system.until(id_)
    assert most == 2


async def test_a_stuck_job_does_not_take_its_queues_place_with_it(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    async def stubborn(_input: Any, _ctx: Ctx) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(3_600)

    system = await start_system(
        [Handler("stubborn", stubborn, input=object), Handler("brief", brief, input=object)],
        queues=("media:1", "*:1"),
        cleanup_grace=1.0,
    )
    await system.enqueue("stubborn", queue="media", timeout=1, max_attempts=1)
    next_ = await system.enqueue("brief", queue="media")
    with trio.fail_after(10):
        assert (await system.until(next_)).state is State.DONE
