"""Peers on asyncio."""

import asyncio
import os
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

_running: set[asyncio.Task[Any]] = set()


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """On uvloop where the peer's authors advise it, which is where it is installed."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())


async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def crowd(size: int, call: Callable[[], Awaitable[None]]) -> None:
    await asyncio.gather(*(call() for _ in range(size)))


def spawn(worker: Coroutine[Any, Any, Any]) -> None:
    """A worker that ends has failed."""
    task = asyncio.create_task(worker)
    _running.add(task)
    task.add_done_callback(_ended)


def _ended(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()):
        traceback.print_exception(error)
    os._exit(1)
