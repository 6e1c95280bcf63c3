"""From a handler's work to how it ended.

A timeout or a cancel really stops the work: `except Exception` in a handler cannot swallow a Trio
cancellation.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from math import inf

import msgspec
import trio

from ..errors import Cancel, Fail, Retry, Snooze, Steering
from ..job import Error, Failed, Outcome, Reason, Snoozed, Stopped, Succeeded
from ..texts import Redact
from .attempt import Attempt
from .description import describe

MAX_WAIT = 10 * 365 * 86_400.0
_encoder = msgspec.json.Encoder()


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
                return _succeeded(result, max_result, attempt.redact)
    except Exception as misnested:  # the handler left a scope or a nursery open
        return failed(misnested, attempt.redact)
    if attempt.scope.cancelled_caught:
        if error is None:
            return Stopped(attempt.reason)
        if isinstance(_steering(error), (Cancel, Fail)):  # for good, whatever stopped the others
            return failed(error, attempt.redact)
        return Stopped(attempt.reason, describe(error, attempt.redact))
    assert error is not None  # noqa: S101 - the only way left
    if attempt.scope.cancel_called and _steering(error) is None:
        # It answered its cancellation with an exception of its own. Why it ended is on record.
        return Stopped(attempt.reason, describe(error, attempt.redact))
    return failed(error, attempt.redact)


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


def _succeeded(result: object, max_result: int, redact: Redact) -> Outcome:
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
        return Failed(describe(error, redact), permanent=True)
    if len(outcome.result or b"") > max_result:
        size = len(outcome.result or b"")
        message = f"the result has {size:,} bytes; the limit (max_result) is {max_result:,}"
        return Failed(Error("ResultTooLarge", message), permanent=True)
    return outcome


def failed(error: BaseException, redact: Redact) -> Outcome:
    """What an exception of a handler means."""
    steering = _steering(error)
    match steering:
        case Cancel():
            return Stopped(Reason.CANCELLED, describe(steering, redact))
        case Fail():
            return Failed(describe(steering, redact), permanent=True)
        case Retry():
            return Failed(describe(steering, redact), retry_after=_seconds(steering.after))
        case Snooze():
            seconds = _seconds(steering.seconds)
            if seconds is None:
                said = describe(steering, redact)
                return Failed(replace(said, message=f"{said.message}: this is no time to wait"))
            return Snoozed(seconds)
    return Failed(describe(error, redact))


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
    todo = [error]  # a stack of our own: groups can be nested deeper than Python's
    while todo:
        error = todo.pop()
        if isinstance(error, BaseExceptionGroup):
            todo.extend(reversed(error.exceptions))
        else:
            yield error


def _seconds(wish: object) -> float | None:
    """How long a handler wants to wait; None when that makes no sense."""
    if isinstance(wish, bool) or not isinstance(wish, (int, float)) or wish != wish:
        return None
    return float(min(max(wish, 0), MAX_WAIT))
