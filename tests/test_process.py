"""Handlers in processes: whatever they do to theirs, it is killed or replaced, and nobody else.

Processes know no virtual time: real seconds here, but few of them.
"""

import logging
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from trio_jobs.backoff import Backoff
from trio_jobs.config import Settings
from trio_jobs.executor import child, process
from trio_jobs.executor.attempt import Attempt
from trio_jobs.executor.process import _cpus
from trio_jobs.job import Failed, Outcome, Reason, Snoozed, State, Stopped, Succeeded
from trio_jobs.registry import Ctx, Handler, Registry
from trio_jobs.storage.records import Claimed
from trio_jobs.worker.hand import Hand
from trio_jobs.worker.log_capture import installed

from . import process_handlers as h
from .conftest import StartSystem

INPUTS = {"say": int, "flood": int, "add": h.Point, "double_upload": h.Point, "say_and_wait": float,
          "raise_": str, "give": str}  # fmt: skip
ENDS = int(os.environ.get("ENDS", "200"))  # of each kind, in the slow test
LIMIT = 50_000_000


def handler(name: str, **options: Any) -> Handler:
    input_ = INPUTS.get(name, dict[str, Any])
    return Handler(name, getattr(h, name), input=input_, isolation="process", **options)


def children(parent: int) -> dict[int, str]:
    """pid -> state of its children, without multiprocessing's own resource tracker."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, ppid, *_ = (entry / "stat").read_text().rpartition(") ")[2].split()
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if int(ppid) == parent and b"resource_tracker" not in words:
            found[int(entry.name)] = state
    return found


class Bench:
    """A hand with processes, without store or worker."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.last: Attempt | None = None

    def claimed(self, type_: str, input_: Any = None, **changes: Any) -> Claimed:
        payload = msgspec.json.encode({} if input_ is None else input_).decode()
        job = Claimed("id", type_, "q", 2, 5, 0, 60.0, 7, time.time(), payload, None,
                      "application/json", None)  # fmt: skip
        return msgspec.structs.replace(job, **changes) if changes else job

    async def run(self, type_: str, input_: Any = None, **changes: Any) -> Outcome:
        job = self.claimed(type_, input_, **changes)
        self.last = self.hand.attempt(job)
        return await self.hand.run(job, self.last)

    async def failure(self, type_: str, input_: Any = None, **changes: Any) -> Failed:
        outcome = await self.run(type_, input_, **changes)
        assert isinstance(outcome, Failed), outcome
        return outcome

    async def result(self, type_: str, input_: Any = None, **changes: Any) -> Any:
        outcome = await self.run(type_, input_, **changes)
        assert isinstance(outcome, Succeeded), outcome
        return None if outcome.result is None else msgspec.json.decode(outcome.result)

    def said(self) -> list[str]:
        assert self.last is not None
        assert self.last.diary is not None
        return [line.message for line in self.last.diary.lines]


@asynccontextmanager
async def bench(*handlers: Handler, **settings: Any) -> AsyncIterator[Bench]:
    """With one process unless said otherwise. In the end no process is left."""
    before = children(os.getpid()).keys()
    hand = Hand(Registry(handlers), Settings(**{"job_processes": 1} | settings), now=time.time)
    assert hand.processes is not None
    async with trio.open_nursery() as nursery:
        await nursery.start(hand.processes.run)
        with installed():
            yield Bench(hand)
        nursery.cancel_scope.cancel()
    assert children(os.getpid()).keys() <= before


# ── in and out ────────────────────────────────────────────────────────────────────────────────


async def test_input_and_result_cross_and_the_process_is_used_again() -> None:
    async with bench(handler("pid"), handler("add"), handler("give")) as on:
        first = await on.result("pid")
        assert first in children(os.getpid())
        assert await on.result("add", {"x": 2, "y": 40}) == {"x": 42, "y": 0}
        assert await on.run("give", "nothing") == Succeeded()
        assert await on.run("give", "bytes") == Succeeded(b"\xff\0", "application/octet-stream")
        assert await on.result("pid") == first


async def test_a_handler_knows_what_it_would_know_elsewhere() -> None:
    async with bench(handler("show"), handler("double_upload", accepts_upload=True)) as on:
        job = on.claimed("show", traceparent="00-a-b-01")
        started_at, now = job.started_at, time.time()
        *shown, deadline, left = await on.result(
            "show", started_at=started_at, traceparent="00-a-b-01", saved='{"at":[7]}'
        )
        assert shown == ["id", 2, 5, "application/json", "00-a-b-01", None, None, None, {"at": [7]}]
        assert now + 60 <= deadline <= time.time() + 60  # from when there was a process for it
        assert 50 < left <= 60
        upload = await on.run(
            "double_upload", payload_text=None, payload_hex="FF00", content_type="image/png",
            params={"x": "2"},
        )  # fmt: skip
        assert upload == Succeeded(b"\xff\0\xff\0", "application/octet-stream")


def test_what_a_handler_is_given_is_all_that_was_promised() -> None:
    given = set(vars(child.Ctx)) | set(child.Ctx.__init__.__code__.co_names)
    assert {name for name in vars(Ctx) if not name.startswith("_")} <= given


async def test_an_input_that_is_none_any_more_fails_for_good_without_a_process() -> None:
    before = children(os.getpid()).keys()
    async with bench(handler("add")) as on:
        failure = await on.failure("add", {"x": "1"})
        assert (failure.permanent, failure.error.type) == (True, "InvalidInput")
        assert children(os.getpid()).keys() == before


async def test_results_that_cannot_be_kept_fail_the_job_for_good() -> None:
    async with bench(handler("give")) as on:
        assert (await on.failure("give", "huge")).error.type == "ResultTooLarge"
        assert (await on.failure("give", "object")).permanent
        assert (await on.failure("give", "lock")).permanent


async def test_a_process_imports_little() -> None:
    async with bench(handler("modules")) as on:
        found = set(await on.result("modules"))
    assert "trio_jobs" in found
    assert not found & {"trio", "quart", "apsw", "hypercorn", "httpx", "click", "trio_parallel"}


# ── errors ────────────────────────────────────────────────────────────────────────────────────


async def test_what_a_handler_raises_is_judged_like_anywhere_else() -> None:
    async with bench(handler("raise_"), handler("exit_"), handler("pid")) as on:
        first = await on.result("pid")
        failure = await on.failure("raise_", "fail")
        assert (failure.permanent, failure.error.message) == (True, "for good")
        assert (await on.failure("raise_", "retry")).retry_after == 7
        assert (await on.failure("raise_", "group")).retry_after == 3
        assert await on.run("raise_", "snooze") == Snoozed(9)
        cancelled = await on.run("raise_", "cancel")
        assert isinstance(cancelled, Stopped)
        assert cancelled.reason is Reason.CANCELLED
        failure = await on.failure("raise_", "value")
        assert (failure.error.type, failure.error.message) == ("ValueError", "password=[redacted]")
        assert "in raise_" in failure.error.traceback
        assert "hunter22" not in failure.error.traceback
        assert "cannot be printed" in (await on.failure("raise_", "unprintable")).error.message
        assert (await on.failure("raise_", "unpicklable")).error.type == "InvalidInput"
        assert (await on.failure("raise_", "interrupt")).error.type == "KeyboardInterrupt"
        assert (await on.failure("exit_")).error.type == "SystemExit"
        assert await on.result("pid") == first


async def test_a_function_that_is_not_there_any_more_is_tried_again() -> None:
    def gone(_input: object, _ctx: object) -> None:
        """Handler."""

    gone.__module__, gone.__qualname__ = h.__name__, "gone"
    async with bench(Handler("gone", gone, isolation="process")) as on:
        failure = await on.failure("gone")
        assert (failure.permanent, failure.error.type) == (False, "AttributeError")


# ── what it says ──────────────────────────────────────────────────────────────────────────────


async def test_progress_and_log_lines_arrive_without_their_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with bench(handler("say")) as on:
        await on.run("say", 5_000)
        assert on.last is not None
        assert on.last.diary is not None
        assert on.last.diary.step == (5_000, 5_000, "password=[redacted]")
        first, second = on.said()
        assert first == "5000 of them, token=[redacted]"
        assert second.startswith("see\nTraceback")
        assert "ZeroDivisionError" in second
    [line, _] = [record for record in caplog.records if record.name == "a.handler"]
    assert (line.levelname, line.message) == ("INFO", "5000 of them, token=[redacted]")


async def test_the_newest_step_is_known_while_the_handler_is_busy() -> None:
    async with bench(handler("say_and_wait")) as on, trio.open_nursery() as nursery:
        nursery.start_soon(on.run, "say_and_wait", 1.0)
        await trio.sleep(0.7)
        assert on.last is not None
        assert on.last.diary is not None
        assert on.last.diary.step == (2, None, "newest")


async def test_a_flood_of_lines_is_counted_and_blocks_nobody() -> None:
    async with bench(handler("flood"), handler("pid")) as on:
        worst, start = 0.0, trio.current_time()
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                nonlocal worst
                while True:
                    due = trio.current_time() + 0.01
                    await trio.sleep(0.01)
                    worst = max(worst, trio.current_time() - due)

            nursery.start_soon(watch)
            await on.run("flood", 20_000)
            nursery.cancel_scope.cancel()
        assert trio.current_time() - start < 10
        assert worst < 0.5
        assert on.last is not None
        assert on.last.diary is not None
        assert len(on.last.diary.lines) + on.last.diary.lines_lost == 20_000
        assert len(on.last.diary.lines) == 1_000
        assert on.last.diary.step == (19_999, None, None)


async def test_progress_that_is_no_number_is_the_handlers_mistake() -> None:
    async with bench(handler("no_number")) as on:
        assert (await on.failure("no_number")).error.type == "ValueError"


# ── killed, crashed, used up ──────────────────────────────────────────────────────────────────


async def test_an_endless_loop_in_c_is_killed_at_its_timeout_and_the_slot_works_on() -> None:
    async with bench(handler("loop_in_c"), handler("pid")) as on:
        first = await on.result("pid")
        start = trio.current_time()
        assert await on.run("loop_in_c", timeout=0.3) == Stopped(Reason.TIMEOUT)
        assert 0.3 <= trio.current_time() - start < 1.3
        assert first not in children(os.getpid())
        assert on.last is not None
        assert on.last.diary is not None
        assert on.last.diary.step == (1, 2, f"pid {first}")
        assert await on.result("pid") != first


async def test_the_jobs_own_deadline_kills_too() -> None:
    async with bench(handler("loop_in_c")) as on:
        start = trio.current_time()
        assert await on.run("loop_in_c", deadline=time.time() + 0.4) == Stopped(Reason.DEADLINE)
        assert 0.3 <= trio.current_time() - start < 1.4


@pytest.mark.parametrize("reason", [Reason.CANCELLED, Reason.SHUTDOWN])
async def test_a_stop_kills_at_once(reason: Reason) -> None:
    async with bench(handler("loop_in_c"), handler("pid")) as on, trio.open_nursery() as nursery:
        await on.result("pid")

        async def run() -> None:
            assert await on.run("loop_in_c") == Stopped(reason)
            nursery.cancel_scope.cancel()

        nursery.start_soon(run)
        await trio.sleep(0.3)
        assert on.last is not None
        on.last.stop(reason)
        with trio.fail_after(0.5):
            await trio.sleep_forever()


async def test_time_in_the_queue_for_a_process_is_not_the_jobs() -> None:
    async with bench(handler("say_and_wait"), handler("pid")) as on, trio.open_nursery() as nursery:
        await on.result("pid")
        nursery.start_soon(on.run, "say_and_wait", 1.0)
        await trio.sleep(0.1)
        job = on.claimed("pid", timeout=0.5)
        assert isinstance(await on.hand.run(job, on.hand.attempt(job)), Succeeded)


async def test_a_crash_fails_its_attempt_and_nothing_else() -> None:
    names = ("leave", "segfault", "say_and_wait", "pid")
    async with bench(*map(handler, names), job_processes=2) as on, trio.open_nursery() as nursery:
        nursery.start_soon(on.result, "say_and_wait", 1.5)
        await trio.sleep(0.3)
        failure = await on.failure("leave")
        assert (failure.permanent, failure.error.type) == (False, "Crashed")
        assert "exited with code 1" in failure.error.message
        assert on.said() == ["so long"], "the last words count most"
        assert "SIGSEGV" in (await on.failure("segfault")).error.message
        assert await on.result("pid")


@pytest.mark.parametrize("name", ["allocate", "allocate_small"])
async def test_memory_without_end_ends_at_max_memory(name: str) -> None:
    async with bench(handler(name, max_memory=LIMIT), handler("pid")) as on:
        first = await on.result("pid")
        start = trio.current_time()
        failure = await on.failure(name)
        assert (failure.permanent, failure.error.type) == (False, "MemoryError")
        assert trio.current_time() - start < 5
        assert await on.result("pid") != first, "a process in pieces is not used again"


async def test_memory_is_limited_for_that_job_only() -> None:
    async with bench(handler("add", max_memory=LIMIT), handler("give"), max_result=100) as on:
        await on.result("add", {"x": 1})
        assert (await on.failure("give", "huge")).error.type == "ResultTooLarge"


async def test_a_thread_left_behind_does_not_keep_the_process() -> None:
    async with bench(handler("leave_thread"), handler("pid")) as on:
        await on.result("leave_thread")
        assert await on.result("pid")


async def test_a_process_that_dies_idle_is_replaced_and_nobodys_failure() -> None:
    async with bench(handler("pid")) as on:
        first = await on.result("pid")
        os.kill(first, signal.SIGKILL)
        await trio.sleep(0.1)
        second = await on.result("pid")
        assert second != first
        os.kill(second, signal.SIGKILL)


async def test_idle_processes_end_after_a_while_and_are_buried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "IDLE", 0.2)
    async with bench(handler("pid")) as on:
        first = await on.result("pid")
        await trio.sleep(0.8)
        assert first not in children(os.getpid())
        assert await on.result("pid") != first


async def test_signals_for_all_processes_of_a_service_are_for_the_parent_to_judge() -> None:
    async with bench(handler("signals")) as on:
        assert await on.result("signals") == "alive"


async def test_processes_are_replaced_after_so_many_jobs() -> None:
    async with bench(handler("pid")) as on:
        used = Counter([await on.result("pid") for _ in range(1_010)])
        assert sorted(used.values()) == [10, 1_000]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_many_ends_of_each_kind_leave_no_process_and_no_descriptor() -> None:
    names = ("leave", "segfault", "loop_in_c", "pid")
    hungry = handler("allocate", max_memory=LIMIT)
    before = children(os.getpid()).keys()
    async with bench(*map(handler, names), hungry, job_processes=4) as on:
        await on.result("pid")
        descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        outcomes: Counter[str] = Counter()

        async def run(name: str) -> None:
            job = on.claimed(name, timeout=0.25 if name == "loop_in_c" else 60.0)
            outcome = await on.hand.run(job, on.hand.attempt(job))
            outcomes[outcome.error.type if isinstance(outcome, Failed) else str(outcome)] += 1

        async with trio.open_nursery() as nursery:
            for _ in range(ENDS):
                for name in ("leave", "segfault", "loop_in_c", "allocate"):
                    nursery.start_soon(run, name)
        assert outcomes == {
            "Crashed": 2 * ENDS,
            "MemoryError": ENDS,
            str(Stopped(Reason.TIMEOUT)): ENDS,
        }
        assert await on.result("pid")
        await trio.sleep(0.5)
        left = {pid: how for pid, how in children(os.getpid()).items() if pid not in before}
        assert len(left) <= 4
        assert "Z" not in left.values()
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 20  # noqa: PTH208


def test_there_is_a_process_for_each_cpu_unless_said_otherwise() -> None:
    hand = Hand(Registry([handler("pid")]), Settings(), now=time.time)
    assert hand.processes is not None
    assert hand.processes.free.total_tokens == _cpus() >= 1
    assert Hand(Registry([]), Settings(), now=time.time).processes is None


# ── in the worker ─────────────────────────────────────────────────────────────────────────────


async def test_a_cancelled_job_is_stopped_at_once_and_its_slot_works_on(
    start_system: StartSystem,
) -> None:
    system = await start_system(
        [handler("loop_in_c"), handler("pid")], concurrency=1, job_processes=1
    )
    id_ = await system.enqueue("loop_in_c")
    with trio.fail_after(20):
        while (await system.service.get(id_)).progress is None:  # noqa: ASYNC110
            await trio.sleep(0.01)
    await system.service.cancel(id_)
    with trio.fail_after(1):
        assert (await system.until(id_)).state is State.CANCELLED
        assert (await system.until(await system.enqueue("pid"))).state is State.DONE
    system.worker.quiet()
    await system.worker.drained.wait()


async def test_a_crashed_attempt_is_retried_by_the_handlers_backoff(
    start_system: StartSystem,
) -> None:
    soon = Backoff("fixed", 0.05, jitter=0.0)
    system = await start_system([handler("leave", backoff=soon, max_attempts=2)])
    job = await system.until(await system.enqueue("leave"))
    assert (job.state, job.attempt) == (State.FAILED, 2)
    assert job.error is not None
    assert job.error.type == "Crashed"
