"""Requests over Trio."""

from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext, suppress

import httpx
import trio

from .httpx_words import arguments, losses, no_answer
from .place import Place
from .wire import CONNECT, Answer, Lost, Request

AT_ONCE = 16


class TrioWire:
    """A Wire for one Trio event loop. A cancelled request closes its connection.

    Only AT_ONCE requests are under way, beside the slow ones: the time that httpcore's pool takes
    for each grows with the number of those in it. (256 at once: 98 a second, 16 at once: 1,000.)
    """

    def __init__(self, place: Place) -> None:
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=CONNECT), **place.httpx_options()
        )
        self._room = trio.Semaphore(AT_ONCE)

    def now(self) -> float:
        return trio.current_time()

    async def send(self, request: Request, patience: float) -> Answer:
        begun = False
        with losses(), trio.move_on_after(patience):
            async with nullcontext() if request.slow else self._room:
                begun = True
                answer = await self._http.send(self._build(request))
            return Answer(answer.status_code, answer.headers, answer.content)
        raise no_answer(patience, sent=begun)

    async def open(self, request: Request, patience: float) -> "TrioStream":
        with losses(), trio.move_on_after(patience):
            return TrioStream(await self._http.send(self._build(request), stream=True))
        raise no_answer(patience)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def let_others_run(self) -> None:
        await trio.lowlevel.checkpoint()

    def flag(self) -> "TrioFlag":
        return TrioFlag()

    async def close(self) -> None:
        await self._http.aclose()

    def _build(self, request: Request) -> httpx.Request:
        built = self._http.build_request(**arguments(request))
        built.stream = Body(request.body)
        return built


class Body(httpx.AsyncByteStream):
    """The body of a request in one piece.

    httpx's own is a generator, of which Trio warns when the connection breaks before its end.
    """

    def __init__(self, body: bytes) -> None:
        self._pieces = [body] if body else []

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop()


class TrioStream:
    """The body of an answer, over Trio."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        self.headers: Mapping[str, str] = answer.headers
        self._answer = answer
        self._chunks: AsyncIterator[bytes] = answer.aiter_raw()

    async def chunk(self, patience: float) -> bytes:
        with losses(), trio.move_on_after(patience):
            return await anext(self._chunks, b"")
        raise no_answer(patience)

    async def close(self) -> None:
        # httpx reads through generators within generators. Closed from outside, the inner ones are
        # left to the garbage collector, of which Trio warns; a read that is cancelled ends all.
        with trio.CancelScope(shield=True) as scope, suppress(Lost), losses():
            scope.cancel()
            while await anext(self._chunks, b""):
                pass
        with trio.CancelScope(shield=True):
            await self._answer.aclose()


class TrioFlag:
    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, patience: float) -> bool:
        with trio.move_on_after(patience):
            await self._event.wait()
        return self._event.is_set()
