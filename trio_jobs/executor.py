"""One attempt of one job, in one cancel scope -> how it ended.

A timeout or a cancel really stops the work: `except Exception` in a handler cannot swallow a Trio
cancellation. Whoever stops an attempt says why first (`Attempt.stop`); the one thing that cancels
without a word is the scope's own deadline, and that is the timeout or the job's deadline, whichever
is sooner.
"""

import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from math import inf, isfinite
from typing import NamedTuple

import msgspec
import trio

from .errors import Cancel, Fail, Retry, Snooze, Steering
from .job import Error, Failed, Outcome, Reason, Snoozed, Stopped, Succeeded

MAX_WAIT = 10 * 365 * 86_400.0
MAX_NAME = 200
MAX_MESSAGE = 4_000
MAX_TRACEBACK = 64_000
MAX_LINES = 1_000
MAX_LOGGED = 256_000
_encoder = msgspec.json.Encoder()


class Line(NamedTuple):
    """Something that a job logged, at a time in Unix seconds."""

    at: float
    level: str
    message: str


class Step(NamedTuple):
    """How far a job says it is."""

    done: float
    total: float | None
    note: str | None


class Attempt:
    """One run of a handler, and what the handler may know of it and say meanwhile (`registry.Ctx`).

    `timeout` is in seconds and counts from now or, in a thread, from `start_clock`; `seconds_left`
    until the job's deadline count from now; `started_at` is in Unix seconds.
    """

    __slots__ = (
        "_stopped_at", "abandoned", "attempt", "content_type", "deadline", "diary", "in_thread",
        "job_id", "max_attempts", "reason", "scope", "timeout", "upload",
    )  # fmt: skip

    def __init__(
        self,
        *,
        job_id: str,
        attempt: int,
        max_attempts: int,
        timeout: float,
        started_at: float,
        seconds_left: float = inf,
        upload: bytes | None = None,
        content_type: str = "application/json",
        in_thread: bool = False,
    ) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.timeout = timeout
        self.deadline = started_at + min(timeout, seconds_left)
        self.upload = upload
        self.content_type = content_type
        self.in_thread = in_thread
        self.abandoned = False  # it ignored its cancellation, and others went on without it
        timed_out = not in_thread and timeout < seconds_left
        self.reason = Reason.TIMEOUT if timed_out else Reason.DEADLINE
        limit = timeout if timed_out else seconds_left
        self.scope = trio.CancelScope(deadline=trio.current_time() + limit)
        self._stopped_at: float | None = None
        self.diary: Diary | None = None  # most jobs say nothing

    def start_clock(self) -> None:
        """In a thread, the timeout counts from here: waiting for a free one does not count."""
        limit = trio.current_time() + self.timeout
        if limit < self.scope.deadline:
            self.scope.deadline = limit
            if self._stopped_at is None:
                self.reason = Reason.TIMEOUT

    def stop(self, reason: Reason) -> None:
        """Cancels the attempt for `reason`; the first reason stays."""
        if self._stopped_at is None and not self.scope.cancel_called:
            self.reason = reason
            self._stopped_at = trio.current_time()
            self.scope.cancel()

    @property
    def stopping_since(self) -> float:
        """When it was cancelled, by trio's clock; infinitely far away while it was not."""
        return self.scope.deadline if self._stopped_at is None else self._stopped_at

    @property
    def cancel_reason(self) -> str | None:
        return self.reason if self.scope.cancel_called else None

    def checkpoint(self) -> None:
        if self.in_thread:
            trio.from_thread.check_cancelled()

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        for number in (done, total):
            if number is not None and not isfinite(number):
                raise ValueError(f"progress is told in numbers, not {number!r}")
        note = None if note is None else _shortened(str(note), MAX_NAME)
        self._open_diary().step = Step(done, total, note)

    def log(self, line: Line) -> None:
        """Keeps a line; of too many, only how many there were."""
        self._open_diary().add(line)

    def _open_diary(self) -> "Diary":
        if self.diary is None:
            self.diary = Diary()
        return self.diary


class Diary:
    """What an attempt has said and nobody has taken yet: its newest step, and log lines.

    Written by the handler, perhaps in its thread, and read in the event loop.
    """

    def __init__(self) -> None:
        self.step: Step | None = None
        self.lines: deque[Line] = deque()
        self.lines_lost = 0
        self._lines_left = MAX_LINES
        self._room = MAX_LOGGED

    def add(self, line: Line) -> None:
        message = _shortened(line.message, MAX_MESSAGE)
        self._lines_left -= 1
        self._room -= len(message)
        if self._lines_left < 0 or self._room < 0:
            self.lines_lost += 1
        else:
            self.lines.append(line._replace(message=message))

    def take(self) -> tuple[Step | None, list[Line]]:
        """All that is new."""
        step, self.step = self.step, None
        lines = []
        while self.lines:
            lines.append(self.lines.popleft())
        return step, lines


async def execute(
    attempt: Attempt, work: Callable[[], Awaitable[object]], *, max_result: int
) -> Outcome:
    """Runs `work` to its end and tells how it ended; raises nothing but outer cancellation.

    `max_result` is the largest result in bytes.
    """
    error: BaseException | None = None
    try:
        with attempt.scope:
            try:
                result = await work()
            except BaseException as caught:  # SystemExit and the like end an attempt, no more
                cancelled, error = _split(caught)
                if cancelled is not None:
                    raise cancelled from None
            else:
                return _succeeded(result, max_result)
    except Exception as misnested:  # the handler left a scope or a nursery open
        return failed(misnested)
    if attempt.scope.cancelled_caught:
        return Stopped(attempt.reason, None if error is None else describe(error))
    assert error is not None  # noqa: S101 - the only way left
    if attempt.scope.cancel_called and _steering(error) is None:
        # It answered its cancellation with an exception of its own. Why it ended is on record.
        return Stopped(attempt.reason, describe(error))
    return failed(error)


def _split(caught: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """What belongs to a cancel scope, and what belongs to the user.

    A nursery in the handler may bring both: the cancellation and a real error from a sibling. A
    Cancelled that comes while nothing is cancelled (kept from earlier) is an error like another.
    """
    if trio.current_effective_deadline() != -inf:
        return None, caught
    if isinstance(caught, BaseExceptionGroup):
        return caught.split(trio.Cancelled)
    return (caught, None) if isinstance(caught, trio.Cancelled) else (None, caught)


def _succeeded(result: object, max_result: int) -> Outcome:
    if result is None:
        return Succeeded()
    try:
        if isinstance(result, (bytes, bytearray, memoryview)):
            outcome = Succeeded(bytes(result), "application/octet-stream")
        else:
            encoded = _encoder.encode(result)
            encoded.decode()  # msgspec.Raw is passed through, whatever it holds
            outcome = Succeeded(encoded)
    except Exception as error:
        return Failed(describe(error), permanent=True)
    if len(outcome.result or b"") > max_result:
        size = len(outcome.result or b"")
        message = f"the result has {size:,} bytes; the limit (max_result) is {max_result:,}"
        return Failed(Error("ResultTooLarge", message), permanent=True)
    return outcome


def failed(error: BaseException) -> Outcome:
    """What an exception of a handler means."""
    steering = _steering(error)
    match steering:
        case Cancel():
            return Stopped(Reason.CANCELLED, describe(steering))
        case Fail():
            return Failed(describe(steering), permanent=True)
        case Retry():
            return Failed(describe(steering), retry_after=_seconds(steering.after))
        case Snooze():
            seconds = _seconds(steering.seconds)
            if seconds is not None:
                return Snoozed(seconds)
    return Failed(describe(error))


def _steering(error: BaseException) -> Steering | None:
    """The decision in an exception, or in a group of them that a nursery made.

    Of several, the gravest counts; a snooze only when nothing else went wrong.
    """
    leaves = list(_leaves(error))
    for kind in (Cancel, Fail, Retry):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    if isinstance(leaves[0], Snooze) and all(isinstance(leaf, Snooze) for leaf in leaves):
        return leaves[0]
    return None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _seconds(wish: object) -> float | None:
    """How long a handler wants to wait; None when that makes no sense."""
    if isinstance(wish, bool) or not isinstance(wish, (int, float)) or wish != wish:
        return None
    return float(min(max(wish, 0), MAX_WAIT))


def describe(error: BaseException) -> Error:
    """An exception as text, whatever it does when asked for it; long texts lose their middle."""
    try:
        message = str(error)
    except BaseException:  # it is the user's code that runs here
        message = "(its message cannot be printed)"
    try:
        trace = "".join(traceback.format_exception(error))
    except BaseException:
        trace = ""
    return Error(
        _shortened(type(error).__qualname__, MAX_NAME),
        _shortened(message, MAX_MESSAGE),
        _shortened(trace, MAX_TRACEBACK),
    )


def _shortened(text: str, limit: int) -> str:
    # Lone surrogates cannot be stored as UTF-8; nothing of a user's error may fail to be kept.
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - limit:,} characters left out …\n{text[-half:]}"
