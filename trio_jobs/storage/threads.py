"""Where blocking calls run."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar, cast

import trio

T = TypeVar("T")


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


def in_thread(call: Callable[..., T], *args: Any) -> Awaitable[T]:
    """The RunSync of a store in service."""
    return trio.to_thread.run_sync(call, *args, limiter=cast(trio.CapacityLimiter, _Unlimited()))
