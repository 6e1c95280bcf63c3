"""A TCP proxy that is as bad as networks are: seeded, and good again after so many faults."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import trio

BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)


class Proxy:
    """Each connection has a fate, while there are faults: turned away, answered 503, or cut.

    While `held` is set, no answer passes.
    """

    def __init__(self, target: str, faults: int = 0, seed: int = 0) -> None:
        self._target = urlsplit(target)
        self._dice = random.Random(seed)
        self._nursery: trio.Nursery | None = None
        self.faults = faults
        self.url = ""
        self.requests = 0  # pieces of requests that have gone through
        self.held: trio.Event | None = None
        self.has_request = trio.Event()

    def cut_all(self) -> None:
        """Every connection that there is breaks."""
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        task_status.started()
        async with listener:
            while True:
                async with trio.open_nursery() as self._nursery:
                    await trio.serve_listeners(self._serve, [_Kept(listener)])

    async def _serve(self, client: trio.SocketStream) -> None:
        fate = self._dice.choice(
            ["away", "busy", "ask", "ask", "ask", "answer", "answer", "answer"]
        )
        limit = None
        if self.faults > 0:
            self.faults -= 1
            if fate == "away":
                return
            if fate == "busy":
                await client.receive_some()
                await client.send_all(BUSY)
                return
            limit = self._dice.choice([0, 1, 300, 2_000, 20_000, 50_000])
            await trio.sleep(self._dice.choice([0, 0, 0.002, 0.01]))
        host, port = self._target.hostname, self._target.port
        assert host is not None
        assert port is not None
        async with await trio.open_tcp_stream(host, port) as server:
            try:
                async with trio.open_nursery() as nursery:
                    ask, answer = (limit, None) if fate == "ask" else (None, limit)
                    nursery.start_soon(self._pump, client, server, ask, nursery, False)
                    nursery.start_soon(self._pump, server, client, answer, nursery, True)
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

    async def _pump(
        self,
        source: trio.SocketStream,
        sink: trio.SocketStream,
        limit: int | None,
        nursery: trio.Nursery,
        is_answer: bool,
    ) -> None:
        async for data in source:
            if is_answer:
                if self.held is not None:
                    await self.held.wait()
            else:
                self.requests += 1
                self.has_request.set()
            if limit is not None:
                data, limit = data[:limit], limit - len(data)
            await sink.send_all(data)
            if limit is not None and limit <= 0:
                break
        nursery.cancel_scope.cancel()


class _Kept(trio.abc.Listener[trio.SocketStream]):
    """A listener that outlives who serves it."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener

    async def accept(self) -> trio.SocketStream:
        return await self._listener.accept()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def through(target: str, faults: int = 0, seed: int = 0) -> AsyncIterator[Proxy]:
    async with trio.open_nursery() as nursery:
        proxy = Proxy(target, faults, seed)
        await nursery.start(proxy.run)
        yield proxy
        nursery.cancel_scope.cancel()
