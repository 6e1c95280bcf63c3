"""One attempt, and everything a handler may do to whoever runs it."""

import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import msgspec
import pytest
import trio
import trio.testing

from trio_jobs.errors import Cancel, Fail, Retry, Snooze
from trio_jobs.executor.attempt import Attempt
from trio_jobs.executor.description import MAX_MESSAGE, describe
from trio_jobs.executor.ending import MAX_WAIT
from trio_jobs.executor.execution import execute
from trio_jobs.job import Failed, Outcome, Reason, Stopped, Succeeded

from .conftest import EPOCH

Work = Callable[[], Awaitable[object]]


def an_attempt(timeout: float = 60.0, *, in_thread: bool = False) -> Attempt:
    return Attempt(
        job_id="id",
        attempt=1,
        max_attempts=5,
        timeout=timeout,
        started_at=EPOCH,
        in_thread=in_thread,
    )


async def outcome_of(work: Work, timeout: float = 60.0, max_result: int = 1_000) -> Outcome:
    attempt = an_attempt(timeout)
    attempt.start_clock()
    return await execute(attempt, work, max_result=max_result)


def returning(value: object) -> Work:
    async def work() -> object:
        return value

    return work


def raising(error: BaseException) -> Work:
    async def work() -> NoReturn:
        raise error

    return work


async def failure_of(work: Work, **options: Any) -> Failed:
    outcome = await outcome_of(work, **options)
    assert isinstance(outcome, Failed)
    return outcome


# ── results ───────────────────────────────────────────────────────────────────────────────────


class Slept(msgspec.Struct):
    """A result."""

    seconds: float
    words: list[str]


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (0, b"0"),
        ("", b'""'),
        (False, b"false"),
        ([], b"[]"),
        ({"a": "\0é😀"}, '{"a":"\\u0000é😀"}'.encode()),
        (Slept(1.5, ["a"]), b'{"seconds":1.5,"words":["a"]}'),
        (float("nan"), b"null"),
    ],
)
async def test_what_a_handler_returns_is_kept_as_json(value: object, result: bytes) -> None:
    assert await outcome_of(returning(value)) == Succeeded(result)


async def test_nothing_is_not_a_result() -> None:
    assert await outcome_of(returning(None)) == Succeeded()


@pytest.mark.parametrize("value", [b"\xff\0", bytearray(b"\xff\0"), memoryview(b"\xff\0"), b""])
async def test_bytes_are_kept_as_they_are(value: bytes) -> None:
    assert await outcome_of(returning(value)) == Succeeded(bytes(value), "application/octet-stream")


def knot() -> object:
    loop: list[object] = []
    loop.append(loop)
    return loop


def released_view() -> object:
    view = memoryview(b"gone")
    view.release()
    return view


@pytest.mark.parametrize(
    "make",
    [object, knot, released_view, lambda: "\ud800", lambda: msgspec.Raw(b"\xff"), lambda: {1j: 1}],
)
async def test_a_result_that_cannot_be_kept_fails_the_job_at_once_and_for_good(
    make: Callable[[], object],
) -> None:
    assert (await failure_of(returning(make()))).permanent


@pytest.mark.parametrize("value", ["x" * 1_000, b"x" * 1_001])
async def test_a_result_over_the_limit_says_how_large_it_is(value: object) -> None:
    failure = await failure_of(returning(value), max_result=1_000)
    assert failure.permanent
    assert failure.error.type == "ResultTooLarge"
    assert "1,00" in failure.error.message


async def test_a_result_of_exactly_the_limit_is_kept() -> None:
    assert await outcome_of(returning(b"x" * 10), max_result=10) == Succeeded(
        b"x" * 10, "application/octet-stream"
    )


# ── errors ────────────────────────────────────────────────────────────────────────────────────


class Unprintable(Exception):
    """Fights back when asked what happened."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Deadly(Exception):
    """Takes the process with it when printed."""

    def __str__(self) -> str:
        raise SystemExit(3)

    __repr__ = __str__


class NotText(Exception):
    """Prints as something that is no text."""

    def __str__(self) -> str:
        return 42  # type: ignore[return-value]


HOSTILE = [
    ValueError("boom"),
    SystemExit(1),
    KeyboardInterrupt(),
    GeneratorExit(),
    StopIteration(),
    StopAsyncIteration(),
    BaseException("bare"),
    AssertionError(),
    MemoryError(),
    RecursionError(),
    ExceptionGroup("group", [ValueError("a"), ExceptionGroup("inner", [TypeError("b")])]),
    BaseExceptionGroup("group", [KeyboardInterrupt(), BaseExceptionGroup("x", [SystemExit()])]),
    Unprintable(),
    ExceptionGroup("group", [Unprintable()]),
    Deadly(),
    NotText(),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"),
    ValueError("lone \ud800 surrogate and \0"),
    type("Name" * 1_000, (Exception,), {})("odd name"),
    trio.Cancelled._create(source="explicit"),
    BaseExceptionGroup("stray", [trio.Cancelled._create(source="explicit"), ValueError()]),
    trio.TooSlowError(),
    trio.RunFinishedError(),
]


@pytest.mark.parametrize("error", HOSTILE, ids=lambda error: type(error).__name__[:20])
async def test_no_exception_of_a_handler_gets_past_its_attempt(error: BaseException) -> None:
    failure = await failure_of(raising(error))
    assert not failure.permanent
    assert failure.retry_after is None
    msgspec.json.encode([failure.error.type, failure.error.message, failure.error.traceback])
    assert len(failure.error.type) <= 300


@pytest.mark.parametrize("leaf", [ValueError("boom"), Fail("never")])
async def test_groups_nested_deeper_than_python_can_count_do_not_end_the_worker(
    leaf: Exception,
) -> None:
    error = leaf
    for _ in range(20_000):
        error = ExceptionGroup("group", [error])
    assert (await failure_of(raising(error))).permanent == isinstance(leaf, Fail)


async def test_the_error_tells_what_where_and_why() -> None:
    async def work() -> None:
        try:
            {}["cause"]
        except KeyError as cause:
            raise ValueError("boom") from cause

    error = (await failure_of(work)).error
    assert (error.type, error.message) == ("ValueError", "boom")
    assert "in work" in error.traceback
    assert "KeyError: 'cause'" in error.traceback


async def test_a_message_of_ten_megabytes_loses_its_middle() -> None:
    error = (await failure_of(raising(ValueError("<" + "x" * 10_000_000 + ">")))).error
    assert len(error.message) < MAX_MESSAGE + 100
    assert error.message[0] + error.message[-1] == "<>"
    assert "9,996,002 characters left out" in error.message
    assert len(error.traceback) < 65_000


async def test_an_endless_recursion_is_an_error_like_any_other() -> None:
    def deeper(n: int) -> int:
        return deeper(n + 1)

    async def work() -> None:
        deeper(0)

    assert (await failure_of(work)).error.type == "RecursionError"


async def test_fail_ends_the_job_and_retry_names_its_time() -> None:
    assert (await failure_of(raising(Fail("never")))).permanent
    retry = await failure_of(raising(Retry("later", after=12)))
    assert (retry.permanent, retry.retry_after) == (False, 12)
    assert (await failure_of(raising(Retry("later")))).retry_after is None


@pytest.mark.parametrize(
    ("after", "meant"),
    [
        (-5, 0),
        (0, 0),
        (float("inf"), MAX_WAIT),
        (10**400, MAX_WAIT),
        (float("nan"), None),
        ("soon", None),
        ([], None),
    ],
)
async def test_a_retry_at_an_impossible_time_cannot_end_the_worker(
    after: Any, meant: float | None
) -> None:
    assert (await failure_of(raising(Retry("later", after=after)))).retry_after == meant


@pytest.mark.parametrize("seconds", [float("nan"), "soon", None, True])
async def test_a_snooze_of_no_time_fails_the_attempt_and_says_why(seconds: Any) -> None:
    failure = await failure_of(raising(Snooze(seconds)))
    assert not failure.permanent
    assert failure.error.message == f"come back in {seconds} s: this is no time to wait"


async def test_a_scope_that_the_handler_left_open_is_the_handlers_error() -> None:
    async def work() -> str:
        trio.CancelScope().__enter__()
        return "as if nothing had happened"

    assert "scope" in (await failure_of(work)).error.message
    await trio.lowlevel.checkpoint()


async def test_a_generator_broken_off_inside_a_scope_is_the_handlers_error() -> None:
    async def ticks() -> AsyncIterator[int]:
        with trio.move_on_after(5):
            yield 1
            yield 2

    kept = ticks()

    async def work() -> None:
        async for _ in kept:
            break

    assert (await failure_of(work)).error.type == "RuntimeError"
    with trio.CancelScope() as scope:
        scope.cancel()
        await trio.sleep(1)
    assert scope.cancelled_caught, "the task's scopes are in order again"
    await kept.aclose()


# ── stops ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_timeout_ends_the_attempt_on_the_second_and_says_so(
    autojump_clock: trio.testing.MockClock,
) -> None:
    began = trio.current_time()
    assert await outcome_of(trio.sleep_forever, timeout=1) == Stopped(Reason.TIMEOUT)
    assert trio.current_time() - began == 1


async def test_catching_exception_does_not_swallow_a_timeout(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def work() -> None:
        while True:
            try:
                await trio.sleep(0.3)
                int("no number")
            except Exception:
                continue

    assert await outcome_of(work, timeout=1) == Stopped(Reason.TIMEOUT)
    assert trio.current_time() == 1


async def test_a_handler_that_finishes_in_its_cleanup_has_succeeded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def work() -> str:
        with trio.move_on_after(5):
            await trio.sleep(4)
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return "done in the last moment"

    assert await outcome_of(work, timeout=6) == Succeeded(b'"done in the last moment"')


@pytest.mark.parametrize(
    "reason", [Reason.CANCELLED, Reason.SHUTDOWN, Reason.LEASE_LOST, Reason.DEADLINE]
)
async def test_whoever_stops_it_is_on_record(
    reason: Reason, autojump_clock: trio.testing.MockClock
) -> None:
    attempt = an_attempt()
    attempt.start_clock()
    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            await trio.sleep(2)
            attempt.stop(reason)
            attempt.stop(Reason.CANCELLED)
            assert attempt.stopping_since == 2

        nursery.start_soon(stop)
        assert await execute(attempt, trio.sleep_forever, max_result=1) == Stopped(reason)


async def test_the_first_reason_stays(autojump_clock: trio.testing.MockClock) -> None:
    attempt = an_attempt()
    attempt.stop(Reason.SHUTDOWN)
    attempt.stop(Reason.CANCELLED)
    assert await execute(attempt, trio.sleep_forever, max_result=1) == Stopped(Reason.SHUTDOWN)


async def test_a_stop_that_comes_after_the_timeout_does_not_rewrite_history(
    autojump_clock: trio.testing.MockClock,
) -> None:
    attempt = an_attempt(timeout=1)

    async def work() -> None:
        attempt.start_clock()
        try:
            await trio.sleep_forever()
        finally:
            attempt.stop(Reason.SHUTDOWN)
            assert attempt.stopping_since == 1

    assert await execute(attempt, work, max_result=1) == Stopped(Reason.TIMEOUT)


async def test_an_attempt_that_was_not_stopped_is_not_stuck(
    autojump_clock: trio.testing.MockClock,
) -> None:
    assert an_attempt(in_thread=True).stopping_since == float("inf"), "it has no thread yet"
    assert an_attempt(timeout=5).stopping_since == 5


async def test_both_halves_of_a_group_count_when_the_timeout_fires(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def failing_cleanup() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in cleanup")

    async def work() -> None:
        async with trio.open_nursery() as outer:
            outer.start_soon(trio.sleep_forever)
            async with trio.open_nursery() as inner:
                inner.start_soon(trio.sleep_forever)
                inner.start_soon(failing_cleanup)

    outcome = await outcome_of(work, timeout=1)
    assert isinstance(outcome, Stopped)
    assert outcome.reason is Reason.TIMEOUT
    assert outcome.error is not None
    assert "in cleanup" in outcome.error.traceback


@pytest.mark.parametrize("error", [Fail("never again"), Cancel("nobody needs it")])
async def test_a_decision_for_good_counts_although_others_were_cancelled_beside_it(
    error: Exception, autojump_clock: trio.testing.MockClock
) -> None:
    async def deciding() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            raise error from None

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deciding)
            nursery.start_soon(trio.sleep_forever)

    outcome = await outcome_of(work, timeout=1)
    if isinstance(error, Fail):
        assert isinstance(outcome, Failed)
        assert outcome.permanent
    else:
        assert isinstance(outcome, Stopped)
        assert outcome.reason is Reason.CANCELLED
    assert outcome.error is not None
    assert outcome.error.message == str(error)


async def test_a_sibling_that_was_cancelled_by_an_error_leaves_only_the_error() -> None:
    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(raising(ValueError("boom")))

    error = (await failure_of(work)).error
    assert error.type == "ExceptionGroup"
    assert "ValueError: boom" in error.traceback
    assert "Cancelled" not in error.traceback


@pytest.mark.parametrize("reason", [Reason.CANCELLED, Reason.SHUTDOWN, Reason.LEASE_LOST])
async def test_a_handler_that_answers_its_cancellation_with_an_error_is_still_stopped(
    reason: Reason, autojump_clock: trio.testing.MockClock
) -> None:
    """A job that a person cancelled must not be retried because its cleanup failed."""
    attempt = an_attempt()

    async def work() -> None:
        try:
            attempt.stop(reason)
            await trio.sleep_forever()
        except BaseException:
            raise ValueError("translated") from None

    outcome = await execute(attempt, work, max_result=1)
    assert isinstance(outcome, Stopped)
    assert outcome.reason is reason
    assert outcome.error is not None
    assert outcome.error.message == "translated"


async def test_a_handler_may_still_decide_for_good_when_it_is_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def work() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            raise Fail("half of it is done, never again") from None

    assert (await failure_of(work, timeout=1)).permanent


async def test_a_cancellation_from_outside_passes_through(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with trio.move_on_after(1) as scope:
        await outcome_of(trio.sleep_forever)
        raise AssertionError("not reached")
    assert scope.cancelled_caught


async def test_a_cancellation_from_outside_is_not_lost_in_a_group(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)

    with trio.move_on_after(1) as scope:
        await outcome_of(work)
        raise AssertionError("not reached")
    assert scope.cancelled_caught


async def test_a_scope_of_the_handlers_own_is_its_own_business(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def work() -> str:
        with trio.move_on_after(1):
            await trio.sleep_forever()
        with pytest.raises(trio.TooSlowError):
            with trio.fail_after(1):
                await trio.sleep_forever()
        return "went on"

    assert await outcome_of(work, timeout=3) == Succeeded(b'"went on"')


# ── in threads ────────────────────────────────────────────────────────────────────────────────


def in_thread(attempt: Attempt, handler: Callable[[Attempt], object]) -> Work:
    attempt.in_thread = True

    async def work() -> object:
        attempt.start_clock()
        return await trio.to_thread.run_sync(handler, attempt)

    return work


def loop_with_checkpoints(attempt: Attempt) -> None:
    while True:
        try:
            time.sleep(0.01)
            attempt.checkpoint()
        except Exception:
            continue


@pytest.mark.slow
async def test_a_thread_with_checkpoints_ends_at_its_timeout() -> None:
    attempt = an_attempt(timeout=0.2)
    began = time.monotonic()
    outcome = await execute(attempt, in_thread(attempt, loop_with_checkpoints), max_result=1)
    assert outcome == Stopped(Reason.TIMEOUT)
    assert 0.2 <= time.monotonic() - began < 2


@pytest.mark.slow
async def test_a_thread_with_checkpoints_can_be_stopped_for_a_reason() -> None:
    attempt = an_attempt()
    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            await trio.sleep(0.1)
            attempt.stop(Reason.SHUTDOWN)

        nursery.start_soon(stop)
        outcome = await execute(attempt, in_thread(attempt, loop_with_checkpoints), max_result=1)
    assert outcome == Stopped(Reason.SHUTDOWN)


@pytest.mark.slow
@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), StopIteration(), OSError()])
async def test_no_exception_of_a_thread_gets_past_its_attempt(error: BaseException) -> None:
    def handler(_attempt: Attempt) -> None:
        raise error

    attempt = an_attempt()
    assert isinstance(await execute(attempt, in_thread(attempt, handler), max_result=1), Failed)


async def test_a_thread_may_ask_why_it_is_stopped_before_and_after() -> None:
    """Trio's clock, which knows of deadlines that have passed, cannot be read there."""
    attempt = an_attempt(in_thread=True)
    seen: list[str | None] = []
    asked, stopped = threading.Event(), threading.Event()

    def handler(attempt: Attempt) -> None:
        seen.append(attempt.cancel_reason)
        asked.set()
        stopped.wait(10)
        seen.append(attempt.cancel_reason)
        of_its_own = threading.Thread(target=lambda: seen.append(attempt.cancel_reason))
        of_its_own.start()
        of_its_own.join()

    async def stop() -> None:
        await trio.to_thread.run_sync(asked.wait)
        attempt.stop(Reason.SHUTDOWN)
        await trio.lowlevel.checkpoint()
        stopped.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        await execute(attempt, in_thread(attempt, handler), max_result=1)
    assert seen == [None, "shutdown", "shutdown"]


async def test_a_checkpoint_outside_a_thread_does_nothing() -> None:
    an_attempt().checkpoint()


def test_describing_costs_nothing_worse_than_a_poor_description() -> None:
    assert describe(Deadly()).message == "(its message cannot be printed)"
    assert describe(ValueError("\ud800")).message == "?"
