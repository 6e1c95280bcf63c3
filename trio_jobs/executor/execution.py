"""From a handler's work to how it ended.

A timeout or a cancel really stops the work: `except Exception` in a handler cannot swallow a Trio
cancellation.
"""

from collections.abc import Awaitable, Callable
from math import inf

import trio

from ..errors import Cancel, Fail
from ..job import Outcome, Stopped
from .attempt import Attempt
from .description import describe
from .ending import failed, steering, succeeded


async def execute(
    attempt: Attempt, work: Callable[[], Awaitable[object]], *, max_result: int
) -> Outcome:
    """Runs `work` to its end and tells how it ended; raises nothing but outer cancellation.

    `max_result` is the largest result in bytes.
    """

    async def here() -> Outcome:
        return succeeded(await work(), max_result, attempt.redact)

    return await oversee(attempt, here)


async def oversee(attempt: Attempt, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """The same for work that knows by itself how it ended, unless it is stopped or raises."""
    error: BaseException | None = None
    try:
        with attempt.scope:
            try:
                return await work()
            except BaseException as caught:  # SystemExit and the like end an attempt, no more
                cancelled, error = _split(caught)
                try:
                    if cancelled is not None:
                        raise cancelled from None
                finally:
                    del cancelled  # its traceback holds this frame, and what the work holds open
    except Exception as misnested:  # the handler left a scope or a nursery open
        return failed(misnested, attempt.redact)
    try:
        return _ending(attempt, error)
    finally:
        del error  # as above


def _ending(attempt: Attempt, error: BaseException | None) -> Outcome:
    """What it means to have been cancelled, to have raised `error`, or both."""
    if attempt.scope.cancelled_caught:
        if error is None:
            return Stopped(attempt.reason)
        if isinstance(steering(error), (Cancel, Fail)):  # for good, whatever stopped the others
            return failed(error, attempt.redact)
        return Stopped(attempt.reason, describe(error, attempt.redact))
    assert error is not None  # noqa: S101 - the only way left
    if attempt.scope.cancel_called and steering(error) is None:
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
