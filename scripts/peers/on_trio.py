"""Peers on Trio: ours."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import trio

_nurseries: list[trio.Nursery] = []


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def with_nursery() -> None:
        async with trio.open_nursery() as nursery:
            _nurseries.append(nursery)
            await main()

    trio.run(with_nursery)


async def sleep(seconds: float) -> None:
    await trio.sleep(seconds)


async def crowd(size: int, call: Callable[[], Awaitable[None]]) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(size):
            nursery.start_soon(call)


async def spawn(service: Any, *arguments: Any, **options: Any) -> None:
    """Returns when it has started; an exception in it ends the process."""
    await _nurseries[0].start(functools.partial(service, *arguments, **options))
