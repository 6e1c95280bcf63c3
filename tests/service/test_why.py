"""Why a job is not running: every obstacle is named, and none that is not there."""

import pytest
from trio.testing import MockClock

from trio_jobs.service import Hands

from ..conftest import now
from .conftest import BROKEN, FAILED, SNOOZED, Queue, StartQueue

IDLE = Hands(types=["any", "loose"], limits={"*": 10})


async def codes(queue: Queue, id_: str) -> list[str]:
    return [reason.code for reason in (await queue.service.why(id_)).reasons]


async def test_a_job_that_nothing_keeps_has_no_obstacles(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue(hands=IDLE)
    assert await codes(queue, await queue.enqueue()) == []


async def test_each_kind_of_waiting_for_a_time_has_its_name(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue(hands=IDLE)
    later = await queue.enqueue(delay=7_200.0)
    assert await codes(queue, later) == ["scheduled"]
    [reason] = (await queue.service.why(later)).reasons
    assert "in 2 h" in reason.detail
    failed = await queue.enqueue()
    await queue.end(failed, FAILED)
    assert await codes(queue, failed) == ["retry"]
    snoozed = await queue.enqueue()
    await queue.end(snoozed, SNOOZED)
    assert await codes(queue, snoozed) == ["snoozed"]
    autojump_clock.jump(7_200)
    assert await codes(queue, snoozed) == ["scheduled"], "due, but not promoted yet"


async def test_what_does_not_wait_is_told_apart(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue(hands=IDLE)
    ended = await queue.enqueue()
    await queue.end(ended, BROKEN)
    running = await queue.enqueue()
    await queue.claim()
    [one] = (await queue.service.why(ended)).reasons
    assert (one.code, one.detail) == ("not_waiting", "It has ended: it is failed (permanent).")
    [one] = (await queue.service.why(running)).reasons
    assert "attempt 1 of 5" in one.detail
    await queue.service.cancel(running)
    [one] = (await queue.service.why(running)).reasons
    assert "asked to stop" in one.detail


async def test_a_paused_queue_is_named_with_all_else_that_waits(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue(hands=IDLE)
    later = await queue.enqueue(queue="media", delay=60.0)
    await queue.service.pause("media")
    assert await codes(queue, later) == ["scheduled", "queue_paused"]
    assert await codes(queue, await queue.enqueue()) == []
    queue.service.drain()
    assert await codes(queue, later) == ["scheduled", "queue_paused", "draining"]


async def test_those_who_come_first_are_counted(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    for _ in range(3):
        await queue.enqueue()
    id_ = await queue.enqueue(priority=-1)
    await queue.enqueue(queue="other")
    [reason] = (await queue.service.why(id_)).reasons
    assert (reason.code, reason.detail[:13]) == ("behind", "3 other jobs ")


@pytest.mark.parametrize(
    ("hands", "expected"),
    [
        (None, []),
        (Hands(), ["no_worker"]),
        (Hands(types=["loose"], limits={"*": 10}), ["no_worker"]),
        (Hands(types=["any"], limits={"media": 10}), ["no_worker"]),
        (Hands(types=["any"], limits={"default": 1}, running={"default": 1}), ["limit_reached"]),
        (Hands(types=["any"], limits={"default": 2}, running={"default": 1}), []),
        (
            Hands(types=["any"], limits={"media": 4, "*": 2}, running={"a": 1, "b": 1}),
            ["limit_reached"],
        ),
        (Hands(types=["any"], limits={"media": 4, "*": 2}, running={"media": 4, "b": 1}), []),
    ],
)
async def test_the_worker_of_this_process_is_judged_by_what_it_takes(
    start_queue: StartQueue, autojump_clock: MockClock, hands: Hands | None, expected: list[str]
) -> None:
    queue = await start_queue(hands=hands)
    assert await codes(queue, await queue.enqueue()) == expected


async def test_a_job_that_crashed_its_workers_waits_for_the_other_such_job(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue(hands=IDLE._replace(last_chance="another"))
    id_ = await queue.enqueue()
    for expected in ([], ["last_chance"]):
        await queue.claim()
        autojump_clock.jump(7_200)
        await queue.store.rescue(now(), 10)
        assert await codes(queue, id_) == expected
