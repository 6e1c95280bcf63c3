"""The worker in virtual time: hours of retries, hostile handlers, shutdowns, a faltering store."""

import itertools
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgspec
import pytest
import trio
from trio.testing import MockClock

from trio_jobs.backoff import Backoff
from trio_jobs.config import Settings
from trio_jobs.errors import Fail, Retry, Unavailable
from trio_jobs.job import Reason, State
from trio_jobs.registry import Ctx, Handler, Registry
from trio_jobs.service import Order
from trio_jobs.storage.records import Claimed, Lease
from trio_jobs.worker import Worker

from ..conftest import EPOCH, StartSystem, in_place, now

T = TypeVar("T")
STEADY = Backoff(jitter=0.0)


async def sleeper(input_: dict[str, float], _ctx: Ctx) -> str:
    """Sleeps for `s` seconds."""
    await trio.sleep(input_.get("s", 1.0))
    return "slept"


async def stubborn(_input: object, _ctx: Ctx) -> str:
    """Ignores its cancellation for an hour."""
    with trio.CancelScope(shield=True):
        await trio.sleep(3_600)
    return "at last"


class Crew:
    """Handlers that write down who runs when."""

    def __init__(self) -> None:
        self.started: list[Any] = []
        self.now = 0
        self.most = 0

    async def __call__(self, input_: dict[str, Any], _ctx: Ctx) -> None:
        self.started.append(input_.get("name"))
        self.now += 1
        self.most = max(self.most, self.now)
        await trio.sleep(input_.get("s", 1.0))
        self.now -= 1

    def handler(self) -> Handler:
        async def run(input_: dict[str, Any], ctx: Ctx) -> None:
            await self(input_, ctx)

        return Handler("crew", run)


# ── claiming ──────────────────────────────────────────────────────────────────────────────────


async def test_a_job_runs_and_its_result_is_kept(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    seen: list[Any] = []

    async def run(input_: dict[str, int], ctx: Ctx) -> dict[str, int]:
        seen.append((ctx.job_id, ctx.attempt, ctx.max_attempts, ctx.deadline, ctx.upload))
        return {"twice": input_["n"] * 2}

    system = await start_system([Handler("twice", run, timeout=7.0)])
    id_ = await system.enqueue("twice", {"n": 21})
    job = await system.until(id_)
    assert (job.state, job.result_text, job.attempt) == (State.DONE, '{"twice":42}', 1)
    assert job.started_at is not None
    assert seen == [(id_, 1, 5, job.started_at + 7, None)]


async def test_an_upload_reaches_the_handler_as_bytes_and_parameters(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    class Params(msgspec.Struct):
        """Input."""

        times: int

    async def run(params: Params, ctx: Ctx) -> bytes:
        assert ctx.upload is not None
        assert ctx.content_type == "image/png"
        return ctx.upload * params.times

    system = await start_system([Handler("repeat", run, input=Params, accepts_upload=True)])
    order = Order(type="repeat", payload=b"\xff\0", content_type="image/png", params={"times": "2"})
    [(job, *_)] = await system.service.enqueue([order])
    done = await system.until(job.id)
    assert done.result_hex == "FF00FF00"


async def test_no_job_is_claimed_before_there_is_a_hand_for_it(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    crew = Crew()
    system = await start_system([crew.handler()], concurrency=3)
    ids = [await system.enqueue("crew") for _ in range(10)]
    await trio.sleep(0.5)
    counts = await system.store.counts()
    assert counts["default"] == {State.RUNNING: 3, State.QUEUED: 7}
    assert system.worker.running == 3
    for id_ in ids:
        await system.until(id_)
    assert crew.most == 3


async def test_an_idle_worker_starts_a_job_at_once_and_a_free_hand_takes_the_next(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    system = await start_system([Handler("sleep", sleeper)], concurrency=1, poll_interval=1_000.0)
    await trio.sleep(10)
    ids = [await system.enqueue("sleep") for _ in range(5)]
    jobs = [await system.until(id_) for id_ in ids]
    assert [job.started_at for job in jobs] == [EPOCH + 10 + n for n in range(5)]


async def test_priorities_hold_until_the_last_moment(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    crew = Crew()
    system = await start_system([crew.handler()], concurrency=1)
    await system.enqueue("crew", {"name": "first"})
    await trio.sleep(0.5)
    for name, priority in (("low", -1), ("mid", 0), ("high", 9)):
        await system.enqueue("crew", {"name": name}, priority=priority)
    last = await system.enqueue("crew", {"name": "urgent"}, priority=10)
    await system.until(last)
    await trio.sleep(9)
    assert crew.started == ["first", "urgent", "high", "mid", "low"]


async def test_a_type_without_a_handler_here_is_left_for_others(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    system = await start_system([Handler("sleep", sleeper)])
    id_ = await system.enqueue("sleep", {"s": 0.0}, delay=5.0)
    assert (await system.service.get(id_)).state is State.SCHEDULED
    job = await system.until(id_)
    assert job.started_at == pytest.approx(EPOCH + 5, abs=0.1)


# ── endings ───────────────────────────────────────────────────────────────────────────────────


async def test_a_job_is_retried_over_hours_and_then_fails(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    starts: list[float] = []

    async def run(_input: object, ctx: Ctx) -> None:
        starts.append(trio.current_time())
        raise ValueError(f"attempt {ctx.attempt}")

    began = time.monotonic()
    system = await start_system([Handler("flaky", run, backoff=STEADY)], poll_interval=60.0)
    id_ = await system.enqueue("flaky", max_attempts=8)
    await trio.sleep(4_900)
    job = await system.service.get(id_)
    assert (job.state, job.reason, job.attempt) == (State.FAILED, None, 8)
    assert job.error is not None
    assert job.error.message == "attempt 8"
    waits = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert waits == [pytest.approx(15 + n**4, abs=60.1) for n in range(1, 8)]
    assert all(wait >= 15 + n**4 for n, wait in enumerate(waits, 1))
    assert time.monotonic() - began < 20


async def test_a_retry_starts_when_it_is_due_and_not_at_the_next_poll(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    async def run(_input: object, ctx: Ctx) -> float:
        if ctx.attempt == 1:
            raise Retry("busy", after=90.5)
        return trio.current_time()

    system = await start_system([Handler("polite", run)], poll_interval=30.0)
    job = await system.until(await system.enqueue("polite"))
    assert float(job.result_text or 0) == pytest.approx(90.5, abs=0.1)
    assert job.attempt == 2


async def test_a_permanent_failure_is_not_repeated(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    async def run(_input: object, _ctx: Ctx) -> None:
        raise Fail("no such user")

    system = await start_system([Handler("doomed", run)])
    job = await system.until(await system.enqueue("doomed"))
    assert (job.state, job.reason, job.attempt) == (State.FAILED, "permanent", 1)


async def test_a_timeout_stops_the_work_on_the_second_retries_and_then_fails_as_timeout(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    ends: list[float] = []

    async def run(_input: object, _ctx: Ctx) -> None:
        began = trio.current_time()
        try:
            await trio.sleep_forever()
        finally:
            ends.append(trio.current_time() - began)

    system = await start_system([Handler("hang", run, backoff=STEADY)])
    id_ = await system.enqueue("hang", timeout=1.0, max_attempts=2)
    waiting = await system.until(id_, State.SCHEDULED)
    assert waiting.reason == "timeout"
    assert waiting.updated_at == EPOCH + 1
    job = await system.until(id_)
    assert (job.state, job.reason, job.attempt) == (State.FAILED, "timeout", 2)
    assert job.error is not None
    assert job.error.type == "Timeout"
    assert ends == [1.0, 1.0]


async def test_a_timeout_comes_from_the_job_else_its_handler_else_the_settings(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    async def hang(_input: object, _ctx: Ctx) -> None:
        await trio.sleep_forever()

    system = await start_system(
        [Handler("own", hang, timeout=20.0), Handler("none", hang)], job_timeout=30.0
    )
    for type_, timeout, expected in (("own", 10.0, 10), ("own", None, 20), ("none", None, 30)):
        id_ = await system.enqueue(type_, timeout=timeout, max_attempts=1)
        job = await system.until(id_)
        assert job.started_at is not None
        assert job.finished_at == pytest.approx(job.started_at + expected, abs=0.01)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SystemExit(1),
        KeyboardInterrupt,
        lambda: BaseException("bare"),
        lambda: Retry("x", after=float("nan")),
        lambda: Retry("x", after=float("inf")),
        lambda: Retry("x", after="soon"),  # type: ignore[arg-type]
        lambda: ValueError("\ud800"),
        lambda: trio.Cancelled._create(source="explicit"),
    ],
)
async def test_whatever_a_handler_raises_the_next_job_runs(
    start_system: StartSystem, make: Callable[[], BaseException], autojump_clock: MockClock
) -> None:
    async def run(_input: object, _ctx: Ctx) -> None:
        raise make()

    system = await start_system([Handler("hostile", run), Handler("sleep", sleeper)], concurrency=1)
    bad = await system.enqueue("hostile")
    good = await system.enqueue("sleep")
    assert (await system.until(good)).state is State.DONE
    assert (await system.service.get(bad)).state is State.SCHEDULED


async def test_a_handler_that_leaves_its_scopes_open_does_not_take_its_hand_with_it(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    async def run(_input: object, _ctx: Ctx) -> None:
        trio.CancelScope().__enter__()

    system = await start_system([Handler("messy", run), Handler("sleep", sleeper)], concurrency=1)
    await system.enqueue("messy")
    assert (await system.until(await system.enqueue("sleep"))).state is State.DONE


async def test_a_payload_that_the_handler_no_longer_takes_fails_the_job_and_nothing_else(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    refuse: list[bool] = []

    def check(_input: object) -> None:
        if refuse:
            raise ValueError("the handler has changed")

    system = await start_system(
        [Handler("picky", sleeper, check=check), Handler("sleep", sleeper)], concurrency=1
    )
    id_ = await system.enqueue("picky", delay=1.0)
    refuse.append(True)
    job = await system.until(id_)
    assert (job.state, job.reason) == (State.FAILED, "permanent")
    assert (await system.until(await system.enqueue("sleep"))).state is State.DONE


# ── stopping ──────────────────────────────────────────────────────────────────────────────────


async def test_quiet_lets_what_runs_end_and_starts_nothing_more(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    system = await start_system([Handler("sleep", sleeper)], concurrency=2)
    running = [await system.enqueue("sleep", {"s": 20.0}) for _ in range(2)]
    left = await system.enqueue("sleep")
    await trio.sleep(1)
    system.worker.quiet()
    await system.worker.drained.wait()
    assert trio.current_time() == pytest.approx(20, abs=0.1)
    assert [(await system.service.get(id_)).state for id_ in running] == [State.DONE] * 2
    assert (await system.service.get(left)).state is State.QUEUED


async def test_an_idle_worker_is_drained_at_once(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    system = await start_system([Handler("sleep", sleeper)], poll_interval=60.0)
    await trio.sleep(5)
    system.worker.quiet()
    await system.worker.drained.wait()
    assert trio.current_time() == pytest.approx(5, abs=0.01)


async def test_a_shutdown_hands_jobs_back_without_charging_an_attempt(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    system = await start_system([Handler("sleep", sleeper)], concurrency=3)
    ids = [await system.enqueue("sleep", {"s": 600.0}, max_attempts=1) for _ in range(3)]
    await trio.sleep(1)
    system.worker.quiet()
    system.worker.stop_all(Reason.SHUTDOWN)
    await system.worker.drained.wait()
    assert trio.current_time() == pytest.approx(1, abs=0.1)
    for id_ in ids:
        job = await system.service.get(id_)
        assert (job.state, job.attempt, job.reason) == (State.QUEUED, 0, "shutdown")


async def test_a_claim_under_way_during_a_hurried_stop_is_handed_back_too(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    """Two signals at once: stop_all finds nothing running, and then the claim comes back."""

    async def slow(call: Callable[..., T], *args: Any) -> T:
        if getattr(call, "__name__", "") == "_transact":
            await trio.sleep(1)
        return await in_place(call, *args)

    system = await start_system([Handler("sleep", sleeper)], run_sync=slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(system.enqueue, "sleep", {"s": 600.0}, max_attempts=1))
        await trio.sleep(0.5)
        system.worker.quiet()
        system.worker.stop_all(Reason.SHUTDOWN)
    with trio.fail_after(5):
        await system.worker.drained.wait()
    [job] = (await system.service.list_jobs()).jobs
    assert (job.state, job.attempt, job.version) == (State.QUEUED, 0, 3)


async def test_a_worker_that_is_cancelled_as_its_claim_comes_back_just_ends(
    start_system: StartSystem, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Handler("sleep", sleeper)
    system = await start_system([handler])
    system.worker.quiet()
    await system.worker.drained.wait()
    await system.enqueue("sleep")
    claim = system.store.claim

    async def last_claim(*args: Any, **options: Any) -> list[Claimed]:
        jobs = await claim(*args, **options)
        assert jobs
        scope.cancel()
        return jobs

    monkeypatch.setattr(system.store, "claim", last_claim)
    worker = Worker(system.store, Registry([handler]), Settings(), now=now, heartbeat=False)
    with trio.CancelScope() as scope:
        await worker.run()
    assert scope.cancelled_caught


async def test_abandoned_jobs_are_handed_back_as_well(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    system = await start_system([Handler("stubborn", stubborn)])
    id_ = await system.enqueue("stubborn")
    await trio.sleep(1)
    system.worker.quiet()
    system.worker.stop_all(Reason.SHUTDOWN)
    with trio.move_on_after(1):
        await system.worker.drained.wait()
    system.worker.abandon_all()
    with trio.fail_after(1):
        await system.worker.drained.wait()
    assert system.worker.stuck == 1
    job = await system.service.get(id_)
    assert (job.state, job.attempt, job.reason) == (State.QUEUED, 0, "shutdown")


# ── stuck ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_job_that_ignores_its_cancellation_is_left_behind_and_others_go_on(
    start_system: StartSystem, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    system = await start_system(
        [Handler("stubborn", stubborn), Handler("sleep", sleeper)],
        concurrency=1,
        cleanup_grace=3.0,
        lease=10_000.0,
    )
    stuck = await system.enqueue("stubborn", timeout=10.0, max_attempts=1)
    other = await system.enqueue("sleep")
    job = await system.until(stuck)
    assert (job.state, job.reason) == (State.FAILED, "timeout")
    assert job.finished_at == pytest.approx(EPOCH + 13, abs=0.6)
    assert job.error is not None
    assert job.error.type == "Stuck"
    assert (await system.until(other)).finished_at == pytest.approx(EPOCH + 14, abs=0.6)
    assert system.worker.stuck == 1
    assert "is stuck" in caplog.text

    await trio.sleep(3_600)
    assert system.worker.stuck == 0, "it came back at last"
    late = await system.service.get(stuck)
    assert late == job, "and what it had to say came too late"
    again = [await system.enqueue("sleep") for _ in range(3)]
    jobs = [await system.until(id_) for id_ in again]
    starts = [job.started_at for job in jobs]
    assert len(set(starts)) == 3, "the slot was replaced, not doubled"


async def test_a_cleanup_within_the_grace_is_not_stuck(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    async def tidy(_input: object, _ctx: Ctx) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)

    system = await start_system([Handler("tidy", tidy)], cleanup_grace=3.0)
    job = await system.until(await system.enqueue("tidy", timeout=1.0, max_attempts=1))
    assert job.finished_at == EPOCH + 3
    assert job.error is not None
    assert job.error.type == "Timeout"
    assert system.worker.stuck == 0


# ── leases ────────────────────────────────────────────────────────────────────────────────────


async def test_an_attempt_whose_lease_is_lost_stops_and_says_nothing_more(
    start_system: StartSystem, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    ended: list[float] = []

    async def run(_input: object, _ctx: Ctx) -> str:
        try:
            await trio.sleep(1_000)
        finally:
            ended.append(trio.current_time())
        return "never"

    system = await start_system([Handler("long", run)], concurrency=1)
    id_ = await system.enqueue("long")
    await trio.sleep(1)
    [(claimed, _)] = system.worker._running
    system.worker._lease_lost(Lease(id_, claimed.lease_token ^ 1))
    await trio.sleep(1)
    assert ended == [], "somebody else's lease is nobody's concern"
    system.worker._lease_lost(claimed.lease)
    await trio.sleep(1)
    assert ended == [2.0]
    assert "lost its lease" in caplog.text
    assert (await system.service.get(id_)).state is State.RUNNING


async def test_a_job_that_comes_back_to_the_worker_that_lost_it_ends_in_one_attempt(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    """A process that slept longer than its lease rescues its own jobs and claims them again."""
    attempts: list[str] = []

    async def run(_input: object, _ctx: Ctx) -> str:
        number = len(attempts)
        attempts.append("running")
        try:
            await trio.sleep(100)
            attempts[number] = "ended"
        except trio.Cancelled:
            attempts[number] = "stopped"
            raise
        return f"by {number}"

    system = await start_system([Handler("long", run)], concurrency=4, lease=30.0)
    id_ = await system.enqueue("long")
    await trio.sleep(1)
    await system.store.rescue(EPOCH + 31, 10)  # nobody extends leases here
    await trio.sleep(1)
    assert attempts == ["stopped", "running"]
    assert system.worker.running == 1
    [(claimed, _)] = system.worker._running
    for _ in range(6):  # what a heartbeat would do
        await trio.sleep(15)
        assert system.worker._leases == {id_: claimed.lease}
        await system.store.extend(list(system.worker._leases.values()), now() + 30)
    job = await system.until(id_)
    assert (job.state, job.result_text) == (State.DONE, '"by 1"')
    assert attempts == ["stopped", "ended"]
    assert system.worker._leases == {}


async def test_a_late_result_of_a_lost_lease_is_dropped_with_a_word(
    start_system: StartSystem, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    system = await start_system([Handler("sleep", sleeper)], concurrency=1, lease=3.0)
    id_ = await system.enqueue("sleep", {"s": 8.0}, max_attempts=1)
    with caplog.at_level(logging.WARNING):
        await trio.sleep(9)
    assert "too late: its lease was lost" in caplog.text
    assert (await system.service.get(id_)).state is not State.DONE


# ── a store that falters ──────────────────────────────────────────────────────────────────────


class Faltering:
    """A `run_sync` whose transactions fail while `down`."""

    def __init__(self) -> None:
        self.down = False
        self.refused = 0

    async def __call__(self, call: Callable[..., T], *args: Any) -> T:
        await trio.lowlevel.checkpoint()
        if self.down and getattr(call, "__name__", "") == "_transact":
            self.refused += 1
            raise Unavailable("the database is busy")
        return call(*args)


async def test_no_verdict_is_lost_while_the_store_cannot_take_it(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    faltering, ran = Faltering(), list[str]()

    async def run(_input: object, ctx: Ctx) -> str:
        ran.append(ctx.job_id)
        await trio.sleep(1)
        return "once"

    system = await start_system([Handler("job", run)], concurrency=5, run_sync=faltering)
    ids = [await system.enqueue("job") for _ in range(12)]
    await trio.sleep(0.5)
    faltering.down = True
    await trio.sleep(10)
    assert faltering.refused > 5
    assert sorted(ran) == sorted(ids[:5])
    faltering.down = False
    jobs = [await system.until(id_) for id_ in ids]
    assert {job.state for job in jobs} == {State.DONE}
    assert sorted(ran) == sorted(ids)
    assert trio.current_time() < 20


async def test_a_stop_while_the_store_falters_still_settles_everything(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    faltering = Faltering()
    system = await start_system([Handler("sleep", sleeper)], run_sync=faltering)
    id_ = await system.enqueue("sleep")
    await trio.sleep(0.5)
    faltering.down = True
    system.worker.quiet()
    await trio.sleep(5)
    assert not system.worker.drained.is_set()
    faltering.down = False
    await system.worker.drained.wait()
    assert (await system.service.get(id_)).state is State.DONE
