"""What a job may ask for and say while it runs, and who may stop it."""

import itertools
import logging
import time
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trio_jobs.errors import Cancel, Fail, Retry, Snooze
from trio_jobs.job import State
from trio_jobs.registry import Ctx, Handler

from ..conftest import EPOCH, StartSystem, now

log = logging.getLogger("a.library")
DAY = 86_400.0


async def forever(_: Any, ctx: Ctx) -> None:
    await trio.sleep_forever()


def raising(error: BaseException) -> Handler:
    async def run(_: Any, ctx: Ctx) -> None:
        raise error

    return Handler("raise", run, input=object)


# ── cancel ────────────────────────────────────────────────────────────────────────────────────


async def test_a_running_job_stops_when_it_is_cancelled(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    system = await start_system([Handler("forever", forever)])
    id_ = await system.enqueue("forever")
    await system.until(id_, State.RUNNING)
    asked = now()
    assert (await system.service.cancel(id_)).state is State.RUNNING
    job = await system.until(id_)
    assert (job.state, job.reason) == (State.CANCELLED, "cancelled")
    assert job.finished_at is not None
    assert job.finished_at - asked < 0.1, "in the same process nobody waits for a poll"


async def test_a_cancel_from_another_process_is_heard_within_a_second(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    system = await start_system([Handler("forever", forever)])
    id_ = await system.enqueue("forever")
    await system.until(id_, State.RUNNING)
    await system.store.cancel([id_], now())
    system.store.cancels_bell = type(system.store.cancels_bell)()  # it rang elsewhere
    asked = now()
    job = await system.until(id_)
    assert job.state is State.CANCELLED
    assert now() - asked <= 1


async def test_a_job_that_ignores_its_cancel_is_left_behind_and_says_so(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    async def stubborn(_: Any, ctx: Ctx) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(60)

    system = await start_system([Handler("stubborn", stubborn)], concurrency=1)
    id_ = await system.enqueue("stubborn")
    await system.until(id_, State.RUNNING)
    await system.service.cancel(id_)
    job = await system.until(id_)
    assert (job.state, job.reason) == (State.CANCELLED, "cancelled")
    assert job.error is not None
    assert job.error.type == "Stuck"
    await trio.sleep(100)
    assert (await system.service.get(id_)).state is State.CANCELLED


async def test_a_job_that_ends_well_although_it_was_cancelled_is_done(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    async def finishing(_: Any, ctx: Ctx) -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        return str(ctx.cancel_reason)

    system = await start_system([Handler("finishing", finishing)])
    id_ = await system.enqueue("finishing")
    await system.until(id_, State.RUNNING)
    await system.service.cancel(id_)
    job = await system.until(id_)
    assert (job.state, job.result_text) == (State.DONE, '"cancelled"')


# ── steering ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "state", "reason", "attempt", "wait"),
    [
        (Snooze(60), State.SCHEDULED, "snoozed", 0, 60),
        (Retry("busy", after=7), State.SCHEDULED, "retry", 1, 7),
        (Fail("no"), State.FAILED, "permanent", 1, None),
        (Cancel("nobody wants it"), State.CANCELLED, "cancelled", 1, None),
        (ExceptionGroup("g", [Retry("x", after=7), ValueError()]), State.SCHEDULED, "retry", 1, 7),
        (ExceptionGroup("g", [ExceptionGroup("h", [Fail("no")]), Retry("x")]),
         State.FAILED, "permanent", 1, None),
        (ExceptionGroup("g", [Cancel("x"), Fail("no")]), State.CANCELLED, "cancelled", 1, None),
        (ExceptionGroup("g", [Snooze(60), Snooze(5)]), State.SCHEDULED, "snoozed", 0, 60),
        (ExceptionGroup("g", [Snooze(60), ValueError()]), State.SCHEDULED, "retry", 1, None),
        (Snooze(float("nan")), State.SCHEDULED, "retry", 1, None),
        (Snooze("soon"), State.SCHEDULED, "retry", 1, None),  # type: ignore[arg-type]
        (Snooze(-5), State.QUEUED, None, 0, None),
        (BaseExceptionGroup("g", [SystemExit(), KeyboardInterrupt()]),
         State.SCHEDULED, "retry", 1, None),
    ],
)  # fmt: skip
async def test_a_handler_steers_by_raising(
    start_system: StartSystem,
    autojump_clock: MockClock,
    error: BaseException,
    state: State,
    reason: str | None,
    attempt: int,
    wait: float | None,
) -> None:
    runs = 0
    again = trio.Event()

    async def run(_: Any, ctx: Ctx) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise error
        again.set()
        await trio.sleep_forever()

    system = await start_system([Handler("raise", run, input=object)])
    id_ = await system.enqueue("raise")
    if state is State.QUEUED:  # and so it is claimed again at once
        await again.wait()
        return
    job = await system.until(id_, state)
    assert (job.reason, job.attempt) == (reason, attempt)
    if wait is not None:
        assert job.run_at == pytest.approx(now() + wait, abs=0.1)


async def test_a_job_has_a_backoff_of_its_own(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    starts = []

    async def run(_: Any, ctx: Ctx) -> None:
        starts.append(trio.current_time())
        raise ValueError

    system = await start_system([Handler("raise", run, input=object)])
    id_ = await system.enqueue("raise", backoff=[1, 100], max_attempts=4)
    assert (await system.until(id_)).state is State.FAILED
    gaps = [round(b - a) for a, b in itertools.pairwise(starts)]
    assert gaps == [1, 100, 100]


# ── deadlines ─────────────────────────────────────────────────────────────────────────────────


async def test_past_its_deadline_a_job_is_cancelled_whether_it_runs_or_waits(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    system = await start_system([Handler("forever", forever)], concurrency=1)
    runs = await system.enqueue("forever", deadline=EPOCH + 10)
    waits = await system.enqueue("forever", deadline=EPOCH + 5)
    for id_, end in ((waits, 5), (runs, 10)):
        job = await system.until(id_)
        assert (job.state, job.reason) == (State.CANCELLED, "deadline")
        assert job.finished_at == pytest.approx(EPOCH + end, abs=0.1)


async def test_a_timeout_that_is_sooner_than_the_deadline_is_a_timeout(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    deadlines = []

    async def run(_: Any, ctx: Ctx) -> None:
        deadlines.append(ctx.deadline)
        await trio.sleep_forever()

    system = await start_system([Handler("forever", run)])
    id_ = await system.enqueue("forever", deadline=EPOCH + 10, timeout=3, backoff=[0, 0])
    job = await system.until(id_, State.CANCELLED)
    assert job.reason == "deadline"
    ends = [round(deadline - EPOCH) for deadline in deadlines]
    assert ends[0] == 3
    assert max(ends) <= 10


# ── watch it ──────────────────────────────────────────────────────────────────────────────────


async def test_what_a_job_logs_and_how_far_it_is_can_be_seen_while_it_runs(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    async def run(_: Any, ctx: Ctx) -> None:
        log.warning("half of %s", "it")
        ctx.progress(1, 2, "halves")
        await trio.sleep(10)
        ctx.progress(2, 2)
        log.error("that is %s", "it")

    system = await start_system([Handler("talk", run)])
    id_ = await system.enqueue("talk")
    await trio.sleep(1)
    job = await system.service.get(id_)
    assert job.progress is not None
    assert (job.progress.done, job.progress.total, job.progress.note) == (1, 2, "halves")
    assert [line.message for line in await system.service.logs(id_)] == ["half of it"]
    job = await system.until(id_)
    assert job.progress is not None
    assert job.progress.done == 2
    last = (await system.service.logs(id_))[-1]
    assert (last.n, last.level, last.attempt) == (2, "ERROR", 1)
    assert last.message == "that is it"


async def test_a_job_that_logs_without_end_keeps_the_first_lines_and_the_number_of_the_rest(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    async def run(_: Any, ctx: Ctx) -> None:
        for n in range(5_000):
            log.warning("line %d", n)

    system = await start_system([Handler("talk", run)])
    id_ = await system.enqueue("talk")
    await system.until(id_)
    lines = await system.service.logs(id_)
    lines += await system.service.logs(id_, after=lines[-1].n)
    assert len(lines) == 1_001
    assert lines[999].message == "line 999"
    assert lines[1_000].message == "… 4,000 more lines, not kept"


async def test_lines_of_one_job_do_not_end_up_with_its_neighbour(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    async def run(name: Any, ctx: Ctx) -> None:
        for _ in range(3):
            await trio.sleep(1)
            log.warning("%s", name)

    system = await start_system([Handler("talk", run, input=str)])
    ids = {name: await system.enqueue("talk", name) for name in ("one", "other")}
    log.warning("nobody's")
    for name, id_ in ids.items():
        await system.until(id_)
        assert {line.message for line in await system.service.logs(id_)} == {name}


async def test_progress_in_no_numbers_is_the_handlers_error(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    async def run(_: Any, ctx: Ctx) -> None:
        ctx.progress(float("nan"))

    system = await start_system([Handler("talk", run)])
    job = await system.until(await system.enqueue("talk", max_attempts=1))
    assert job.state is State.FAILED
    assert job.error is not None
    assert job.error.type == "ValueError"


# ── queues ────────────────────────────────────────────────────────────────────────────────────


async def test_a_queue_never_runs_more_than_its_limit_and_others_never_wait_for_it(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    running: dict[str, int] = {}
    most: dict[str, int] = {}

    async def run(queue: Any, ctx: Ctx) -> None:
        running[queue] = running.get(queue, 0) + 1
        most[queue] = max(most.get(queue, 0), running[queue])
        await trio.sleep(1)
        running[queue] -= 1

    system = await start_system(
        [Handler("run", run, input=str)], queues=("media:2", "*:3"), concurrency=100
    )
    queues = ["media"] * 6 + ["a"] * 6 + ["b"] * 6
    ids = [await system.enqueue("run", queue, queue=queue) for queue in queues]
    for id_ in ids:
        await system.until(id_)
    assert most["media"] == 2
    assert 1 <= max(most["a"], most["b"]) <= 3
    assert trio.current_time() < 5


async def test_a_worker_of_named_queues_leaves_others_alone(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    system = await start_system([Handler("forever", forever)], queues=("media:2",))
    other = await system.enqueue("forever", queue="other")
    mine = await system.enqueue("forever", queue="media")
    await system.until(mine, State.RUNNING)
    await trio.sleep(10)
    assert (await system.service.get(other)).state is State.QUEUED


async def test_a_paused_queue_starts_nothing_until_it_is_resumed(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    system = await start_system([Handler("forever", forever)])
    await system.service.pause("mail")
    id_ = await system.enqueue("forever", queue="mail")
    await trio.sleep(10)
    assert (await system.service.get(id_)).state is State.QUEUED
    await system.service.resume("mail")
    await system.until(id_, State.RUNNING)


# ── time ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_month_of_retries_delays_and_deadlines_takes_less_than_a_second(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    async def failing(_: Any, ctx: Ctx) -> None:
        raise ValueError

    system = await start_system(
        [Handler("fail", failing, input=object), Handler("forever", forever)],
        poll_interval=DAY,
        lease=10 * DAY,
        keep=("done=forever", "failed=forever", "cancelled=forever"),
    )
    began = time.perf_counter()
    retried = await system.enqueue("fail", max_attempts=24)
    late = await system.enqueue("fail", delay=20 * DAY, max_attempts=1)
    overdue = await system.enqueue("forever", deadline=EPOCH + 25 * DAY, timeout=10)
    await trio.sleep(30 * DAY)
    job = await system.service.get(retried)
    assert (job.state, job.attempt) == (State.FAILED, 24)
    assert job.finished_at is not None
    assert job.finished_at > EPOCH + 15 * DAY
    job = await system.service.get(late)
    assert job.finished_at == pytest.approx(EPOCH + 20 * DAY, abs=1)
    job = await system.service.get(overdue)
    assert (job.state, job.attempt) == (State.FAILED, 5)
    assert time.perf_counter() - began < 1
