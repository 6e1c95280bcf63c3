"""Requests that block their thread."""

import threading
import time
from collections.abc import Iterator, Mapping
from math import inf

import httpx

from .httpx_words import arguments, losses, no_answer
from .place import Place
from .wire import CONNECT, Answer, Request


class BlockingWire:
    """A Wire for any number of threads. No method ever suspends.

    A thread cannot be called off, so patience is asked for at each step of an answer: one that
    comes drop by drop may take longer, by a step.
    """

    def __init__(self, place: Place) -> None:
        self._http = httpx.Client(**place.httpx_options())

    def now(self) -> float:
        return time.monotonic()

    async def send(self, request: Request, patience: float) -> Answer:
        give_up = self.now() + patience
        stream = await self.open(request, patience)
        try:
            chunks = []
            while chunk := await stream.chunk(max(0.0, give_up - self.now())):
                chunks.append(chunk)
        finally:
            await stream.close()
        return Answer(stream.status, stream.headers, b"".join(chunks))

    async def open(self, request: Request, patience: float) -> "BlockingStream":
        with losses():
            asked = self._http.build_request(**arguments(request), timeout=_timeout(patience))
            return BlockingStream(self._http.send(asked, stream=True))

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251  this is the wire that blocks

    async def let_others_run(self) -> None:
        """Other threads run as they like."""

    def flag(self) -> "BlockingFlag":
        return BlockingFlag()

    async def close(self) -> None:
        self._http.close()


class BlockingStream:
    """The body of an answer, for one thread."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        self.headers: Mapping[str, str] = answer.headers
        self._answer = answer
        self._chunks: Iterator[bytes] = answer.iter_raw()
        # httpcore reads this when the body begins, and then no more: the first patience stays.
        self._patience: dict[str, float | None] = answer.request.extensions["timeout"]

    async def chunk(self, patience: float) -> bytes:
        if patience <= 0:
            raise no_answer(0)
        self._patience["read"] = None if patience == inf else patience
        with losses():
            return next(self._chunks, b"")

    async def close(self) -> None:
        self._answer.close()


class BlockingFlag:
    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, patience: float) -> bool:
        return self._event.wait(min(patience, threading.TIMEOUT_MAX))


def _timeout(patience: float) -> httpx.Timeout:
    limit = None if patience == inf else max(patience, 0.001)
    return httpx.Timeout(limit, connect=CONNECT if limit is None else min(CONNECT, limit))
