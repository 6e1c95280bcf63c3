"""Answers that are written while the work goes on."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import NamedTuple

import trio
from quart.wrappers.response import ResponseBody

from ..errors import Unavailable

log = logging.getLogger(__name__)

Write = Callable[[bytes], Awaitable[None]]
Produce = Callable[[Write], Awaitable[None]]


class Streamed(NamedTuple):
    """An answer whose body `produce` writes; it is cancelled when the client goes."""

    content_type: str
    produce: Produce


class StreamBody(ResponseBody):
    """A Streamed's body, for Quart: the producer is a task that lives as long as the sending."""

    def __init__(self, produce: Produce) -> None:
        self._produce = produce
        self._manager = trio.open_nursery()
        self._scope: trio.CancelScope | None = None

    async def __aenter__(self) -> AsyncIterator[bytes]:
        send, receive = trio.open_memory_channel[bytes](0)
        nursery = await self._manager.__aenter__()
        self._scope = nursery.cancel_scope
        nursery.start_soon(self._run, send)
        return receive

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._scope is not None:
            self._scope.cancel()
        await self._manager.__aexit__(exc_type, exc, traceback)

    async def _run(self, send: trio.MemorySendChannel[bytes]) -> None:
        with send:
            try:
                await self._produce(send.send)
            # The head is out: all that is left is to end early.
            except Unavailable as error:
                log.warning("a streamed answer ends: %s", error)
            except Exception:
                log.exception("a streamed answer failed")
