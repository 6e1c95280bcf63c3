"""Where blocking calls run."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar, cast

import trio

from ..errors import Unavailable

T = TypeVar("T")

_NO_THREAD = "can't start new thread"  # threading has no class of its own for it


class RunSync(Protocol):
    """Runs a blocking call, in a thread or (in tests) in place."""

    def __call__(self, call: Callable[..., T], *args: Any) -> Awaitable[T]: ...


class _Unlimited:
    """A limiter for `trio.to_thread` that lets everyone through, in the same turn of the loop.

    The store never runs more than four calls at a time (a batch of each: writes, jobs, searches,
    other reads), so there is nothing to limit; jobs take their threads from a limiter of their own.
    A CapacityLimiter gives up the turn even when it is free: 20 µs, and the batch would leave only
    after all those that the last one answered have run.
    """

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        pass

    def release_on_behalf_of(self, borrower: object) -> None:
        pass


async def in_thread(call: Callable[..., T], *args: Any) -> T:
    """The RunSync of a store in service. Raises Unavailable when no thread can be started."""
    try:
        return await trio.to_thread.run_sync(
            call, *args, limiter=cast(trio.CapacityLimiter, _Unlimited())
        )
    except RuntimeError as error:
        if error.args != (_NO_THREAD,):
            raise
        raise Unavailable("the system or a limit allows no more threads right now") from error
