"""One attempt of one job, in one cancel scope -> how it ended.

A timeout or a cancel really stops the work: `except Exception` in a handler cannot swallow a Trio
cancellation. Whoever stops an attempt says why first (`Attempt.stop`); the one thing that cancels
without a word is the scope's own deadline, and that is the timeout.
"""

import traceback
from collections.abc import Awaitable, Callable
from math import inf

import msgspec
import trio

from .errors import Fail, Retry, Steering
from .job import Error, Failed, Outcome, Reason, Stopped, Succeeded

MAX_RETRY_AFTER = 10 * 365 * 86_400.0
MAX_NAME = 200
MAX_MESSAGE = 4_000
MAX_TRACEBACK = 64_000
_encoder = msgspec.json.Encoder()


class Attempt:
    """One run of a handler, and what the handler may know of it (see `registry.Ctx`).

    `timeout` is in seconds and counts from `start_clock`; `started_at` in Unix seconds.
    """

    def __init__(
        self,
        *,
        job_id: str,
        attempt: int,
        max_attempts: int,
        timeout: float,
        started_at: float,
        upload: bytes | None = None,
        content_type: str = "application/json",
    ) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.timeout = timeout
        self.deadline = started_at + timeout
        self.upload = upload
        self.content_type = content_type
        self.in_thread = False
        self.abandoned = False  # it ignored its cancellation, and others went on without it
        self.reason = Reason.TIMEOUT
        self.scope = trio.CancelScope()
        self._stopped_at: float | None = None

    def start_clock(self) -> None:
        """The timeout counts from here (waiting for a free thread does not count)."""
        self.scope.deadline = trio.current_time() + self.timeout

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

    def checkpoint(self) -> None:
        if self.in_thread:
            trio.from_thread.check_cancelled()


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
    if attempt.scope.cancel_called and not isinstance(error, Steering):
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


def failed(error: BaseException) -> Failed:
    """What an exception of a handler means."""
    if isinstance(error, Fail):
        return Failed(describe(error), permanent=True)
    if isinstance(error, Retry):
        return Failed(describe(error), retry_after=_seconds(error.after))
    return Failed(describe(error))


def _seconds(after: object) -> float | None:
    """A handler's wish for its next attempt; None when it makes no sense (backoff decides then)."""
    if not isinstance(after, (int, float)) or after != after:
        return None
    return float(min(max(after, 0), MAX_RETRY_AFTER))


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
