"""What needs real threads and real time: the heartbeat, its watch over the loop, plain handlers."""

import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_jobs.config import Settings
from trio_jobs.errors import Unavailable
from trio_jobs.job import Reason, State
from trio_jobs.registry import Ctx, Handler, Registry
from trio_jobs.service import Service
from trio_jobs.storage.records import Lease
from trio_jobs.storage.sqlite import SqliteStore
from trio_jobs.worker import Worker
from trio_jobs.worker.heartbeat import Heartbeat

from ..conftest import System

pytestmark = pytest.mark.slow
PATIENCE = 20  # seconds; nothing here takes that long unless it hangs


class FakePulse:
    """A Pulse that holds whatever is not in `lost`, and fails on demand."""

    def __init__(self) -> None:
        self.beats: list[tuple[set[str], float]] = []
        self.lost: set[str] = set()
        self.errors: list[Exception] = []
        self.closed = False
        self.opening: Exception | None = None

    def pulse(self) -> "FakePulse":
        """This is the store, too."""
        if self.opening is not None:
            raise self.opening
        return self

    def extend(self, leases: Sequence[Lease], expires_at: float) -> set[str]:
        if self.errors:
            raise self.errors.pop()
        ids = {lease.id for lease in leases}
        self.beats.append((ids, expires_at))
        return ids - self.lost

    def close(self) -> None:
        self.closed = True


def beating(pulse: FakePulse, leases: dict[str, Lease], on_lost: Callable[[Lease], None]) -> Any:
    return Heartbeat(
        pulse,  # type: ignore[arg-type]
        leases,
        lease=1.5,
        now=lambda: 1_000.0,
        on_lost=on_lost,
    )


async def until(condition: Callable[[], object]) -> None:
    """Real threads: there is no event to wait for."""
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.02)


async def test_leases_are_extended_three_times_per_lease_until_it_ends() -> None:
    pulse, lost = FakePulse(), list[Lease]()
    leases = {"a": Lease("a", 1)}
    async with trio.open_nursery() as nursery:
        await nursery.start(beating(pulse, leases, lost.append).run)
        await until(lambda: len(pulse.beats) == 2)
        leases["b"] = Lease("b", 2)
        await until(lambda: len(pulse.beats) == 4)
        nursery.cancel_scope.cancel()
    assert pulse.beats[0] == ({"a"}, 1_001.5)
    assert pulse.beats[-1] == ({"a", "b"}, 1_001.5)
    assert pulse.closed
    assert lost == []
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


async def test_a_lost_lease_is_reported_in_the_loop() -> None:
    pulse, lost = FakePulse(), list[Lease]()
    pulse.lost = {"b"}
    loop = threading.get_ident()

    def on_lost(lease: Lease) -> None:
        assert threading.get_ident() == loop
        lost.append(lease)

    async with trio.open_nursery() as nursery:
        leases = {"a": Lease("a", 1), "b": Lease("b", 2)}
        await nursery.start(beating(pulse, leases, on_lost).run)
        await until(lambda: lost)
        nursery.cancel_scope.cancel()
    assert lost[0] == Lease("b", 2)


async def test_a_beat_that_fails_is_tried_again_soon(caplog: pytest.LogCaptureFixture) -> None:
    pulse = FakePulse()
    pulse.errors = [Unavailable("busy"), Unavailable("busy")]
    async with trio.open_nursery() as nursery:
        began = time.monotonic()
        await nursery.start(beating(pulse, {"a": Lease("a", 1)}, print).run)
        await until(lambda: pulse.beats)
        assert time.monotonic() - began < 3
        nursery.cancel_scope.cancel()
    assert caplog.text.count("could not extend") == 2


@pytest.mark.parametrize("where", ["opening", "beating"])
async def test_a_heartbeat_that_dies_does_not_die_in_silence(where: str) -> None:
    """Without it every job longer than its lease would run twice."""
    pulse = FakePulse()
    if where == "opening":
        pulse.opening = OSError("too many open files")
    else:
        pulse.errors = [OSError("too many open files")]
    with trio.fail_after(PATIENCE), pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(beating(pulse, {"a": Lease("a", 1)}, print).run)
    assert "too many open files" in str(caught.value.exceptions)


async def test_whoever_blocks_the_loop_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    def a_slow_calculation() -> None:
        time.sleep(1.8)

    pulse = FakePulse()
    async with trio.open_nursery() as nursery:
        await nursery.start(beating(pulse, {"a": Lease("a", 1)}, print).run)
        await trio.sleep(0.6)
        before = len(pulse.beats)
        a_slow_calculation()
        assert len(pulse.beats) > before, "a blocked loop costs no lease"
        await trio.sleep(0.6)
        nursery.cancel_scope.cancel()
    assert caplog.text.count("the event loop has been blocked for") == 1
    assert "a_slow_calculation" in caplog.text


async def test_a_busy_loop_is_not_a_blocked_one(caplog: pytest.LogCaptureFixture) -> None:
    pulse = FakePulse()
    with caplog.at_level(logging.WARNING):
        async with trio.open_nursery() as nursery:
            await nursery.start(beating(pulse, {}, print).run)
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert caplog.text == ""
    assert pulse.beats == []


# ── the worker in real time ───────────────────────────────────────────────────────────────────


@asynccontextmanager
async def started(
    directory: Path, *handlers: Handler, heartbeat: bool = False, **changes: Any
) -> AsyncIterator[System]:
    """Service and worker over a store with threads, drained at the end."""
    settings, registry = Settings(**changes), Registry(handlers)
    store = SqliteStore(directory / "jobs.db")
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            worker = Worker(store, registry, settings, heartbeat=heartbeat)
            await nursery.start(worker.run)
            yield System(store, Service(store, registry, settings), worker)
            worker.quiet()
            await worker.drained.wait()
            store.close()


async def test_a_job_outlives_its_lease_even_while_it_blocks_the_loop(tmp_path: Path) -> None:
    async def run(_input: object, _ctx: Ctx) -> str:
        time.sleep(3.2)  # noqa: ASYNC251 - a handler that should have been a plain one
        await trio.sleep(0.5)
        return "held on"

    async with started(tmp_path, Handler("block", run), heartbeat=True, lease=3.0) as system:
        id_ = await system.enqueue("block")
        await until(lambda: system.worker.running)
        await trio.sleep(0.05)
        assert await system.store.rescue(time.time(), 10) == (0, 0)
        assert (await system.until(id_)).result_text == '"held on"'


async def test_a_job_that_was_taken_away_is_stopped(tmp_path: Path) -> None:
    ended = trio.Event()

    async def run(_input: object, _ctx: Ctx) -> None:
        try:
            await trio.sleep(60)
        finally:
            ended.set()

    async with started(
        tmp_path, Handler("long", run), heartbeat=True, lease=3.0, concurrency=1
    ) as system:
        id_ = await system.enqueue("long")
        await system.until(id_, State.RUNNING)
        system.worker.quiet()
        assert await system.store.rescue(time.time() + 60, 10) == (1, 0)
        with trio.fail_after(5):
            await ended.wait()
        assert (await system.service.get(id_)).state is State.QUEUED


def hang(_input: object, ctx: Ctx) -> None:
    """A plain handler that would run for ever."""
    while True:
        time.sleep(0.02)
        ctx.checkpoint()


async def test_a_plain_handler_stops_at_its_checkpoint(tmp_path: Path) -> None:
    async with started(tmp_path, Handler("hang", hang)) as system:
        id_ = await system.enqueue("hang", timeout=0.3, max_attempts=1)
        job = await system.until(id_)
        assert (job.state, job.reason) == (State.FAILED, "timeout")
        assert job.started_at is not None
        assert job.finished_at is not None
        assert job.finished_at - job.started_at < 1.5


async def test_a_shutdown_reaches_a_plain_handler(tmp_path: Path) -> None:
    async with started(tmp_path, Handler("hang", hang)) as system:
        id_ = await system.enqueue("hang")
        await system.until(id_, State.RUNNING)
        system.worker.quiet()
        system.worker.stop_all(Reason.SHUTDOWN)
        await system.worker.drained.wait()
        job = await system.service.get(id_)
        assert (job.state, job.attempt) == (State.QUEUED, 0)


async def test_waiting_for_a_free_thread_does_not_count_towards_the_timeout(
    tmp_path: Path,
) -> None:
    def nap(_input: object, _ctx: Ctx) -> str:
        time.sleep(0.4)
        return "ok"

    async with started(tmp_path, Handler("nap", nap), threads=1) as system:
        ids = [await system.enqueue("nap", timeout=0.7, max_attempts=1) for _ in range(4)]
        assert {(await system.until(id_)).state for id_ in ids} == {State.DONE}


async def test_a_thread_that_never_comes_back_does_not_block_the_others(tmp_path: Path) -> None:
    free = threading.Event()

    def stubborn(_input: object, _ctx: Ctx) -> str:
        free.wait(PATIENCE)
        return "late"

    def quick(_input: object, _ctx: Ctx) -> str:
        return "ok"

    async with started(
        tmp_path,
        Handler("stubborn", stubborn),
        Handler("quick", quick),
        threads=1,
        concurrency=2,
        cleanup_grace=0.2,
    ) as system:
        stuck = await system.enqueue("stubborn", timeout=0.2, max_attempts=1)
        job = await system.until(stuck)
        assert (job.state, job.reason) == (State.FAILED, "timeout")
        ids = [await system.enqueue("quick") for _ in range(5)]
        assert {(await system.until(id_)).state for id_ in ids} == {State.DONE}
        assert system.worker.stuck == 1
        free.set()
        await until(lambda: system.worker.stuck == 0)
        assert system.worker._hand.threads.total_tokens == 1
        assert (await system.service.get(stuck)) == job
