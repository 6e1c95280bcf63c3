"""How an attempt ended, from what its handler returned or raised.

Nothing of trio: the processes of handlers import this.
"""

from collections.abc import Iterator
from dataclasses import replace

import msgspec

from ..errors import Cancel, Fail, Retry, Snooze, Steering
from ..job import Error, Failed, Outcome, Reason, Snoozed, Stopped, Succeeded
from ..texts import Redact
from .description import describe

MAX_WAIT = 10 * 365 * 86_400.0
_encoder = msgspec.json.Encoder()


def succeeded(result: object, max_result: int, redact: Redact) -> Outcome:
    """What a returned value means; one that cannot be kept fails the job for good."""
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
    decision = steering(error)
    match decision:
        case Cancel():
            return Stopped(Reason.CANCELLED, describe(decision, redact))
        case Fail():
            return Failed(describe(decision, redact), permanent=True)
        case Retry():
            return Failed(describe(decision, redact), retry_after=_seconds(decision.after))
        case Snooze():
            seconds = _seconds(decision.seconds)
            if seconds is None:
                said = describe(decision, redact)
                return Failed(replace(said, message=f"{said.message}: this is no time to wait"))
            return Snoozed(seconds)
    return Failed(describe(error, redact))


def steering(error: BaseException) -> Steering | None:
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
