"""What the edge's tests share: a server on a port of its own, and a client that sends raw bytes."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from trio_jobs.config import Settings
from trio_jobs.http.edge import serve

PATIENCE = 5  # seconds; nothing here takes that long unless it hangs


async def small_app(scope: dict, receive: Callable, send: Callable) -> None:
    """An app with a route for each shape of request and response."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            await send({"type": message["type"] + ".complete"})
        return
    path = scope["path"]
    if path == "/boom":
        raise RuntimeError("boom")
    if path == "/echo":
        body = b"".join([piece async for piece in edge_body(receive)])
        await edge_answer(send, body)
    elif path == "/scope":
        shown = {
            key: value.decode("latin-1") if isinstance(value, bytes) else value
            for key, value in scope.items()
            if key not in ("headers", "state")
        }
        shown["headers"] = [[n.decode(), v.decode("latin-1")] for n, v in scope["headers"]]
        await edge_answer(send, json.dumps(shown).encode())
    elif path == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one", b"", b"two", b"three"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
    elif path.startswith("/status/"):
        await edge_answer(send, b"body", int(path.removeprefix("/status/")))
    else:
        await edge_answer(send, b"ok")


async def edge_body(receive: Callable) -> AsyncIterator[bytes]:
    """The request's body, piece by piece; RuntimeError when the client goes."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RuntimeError("the client went away")
        yield message["body"]
        if not message["more_body"]:
            return


async def edge_answer(send: Callable, body: bytes, status: int = 200) -> None:
    """A whole response."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class EdgeServer:
    """A running server, and raw conversations with it."""

    def __init__(self, urls: list[str], shutdown: trio.Event, stopped: trio.Event) -> None:
        self.url = urls[0]
        self.shutdown = shutdown
        self.stopped = stopped
        self.port = int(self.url.rpartition(":")[2]) if "unix" not in self.url else 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[trio.SocketStream]:
        with trio.fail_after(PATIENCE):
            async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
                yield stream

    async def talk(self, *pieces: bytes) -> bytes:
        """Send the pieces, each in a packet of its own; all that comes until the server closes."""
        async with self.connect() as stream:
            try:
                for piece in pieces[:-1]:
                    await stream.send_all(piece)
                    await trio.testing.wait_all_tasks_blocked()
                await stream.send_all(pieces[-1])
            except trio.BrokenResourceError:
                pass  # it may close while we are still sending
            return await read_all(stream)


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    """Everything until the other side closes."""
    data = b""
    try:
        async for piece in stream:
            data += piece
    except trio.BrokenResourceError:
        data += b"<reset>"
    return data


async def read_until(stream: trio.abc.ReceiveStream, end: bytes) -> bytes:
    """Everything up to `end`; what follows must not have come yet."""
    data = b""
    while not data.endswith(end):
        piece = await stream.receive_some()
        assert piece, f"closed after {data!r}"
        data += piece
    return data


@pytest.fixture
def edge_serve(nursery: trio.Nursery) -> Callable[..., Awaitable[EdgeServer]]:
    """Starts a server: `await edge_serve(app, body_limit=…, **settings)`."""

    async def start(
        app: Callable = small_app,
        *,
        own_lifespan: bool = False,
        body_limit: Callable | None = None,
        **settings: Any,
    ) -> EdgeServer:
        shutdown, stopped = trio.Event(), trio.Event()

        async def without_lifespan(scope: dict, receive: Callable, send: Callable) -> None:
            chosen = small_app if scope["type"] == "lifespan" else app
            await chosen(scope, receive, send)

        settings.setdefault("bind", "127.0.0.1:0")

        async def run(task_status: Any) -> None:
            await serve(
                app if own_lifespan else without_lifespan,
                Settings(**settings),
                shutdown_trigger=shutdown.wait,
                body_limit=body_limit,
                task_status=task_status,
            )
            stopped.set()

        return EdgeServer(await nursery.start(run), shutdown, stopped)

    return start


@pytest.fixture
async def edge_server(edge_serve: Callable[..., Awaitable[EdgeServer]]) -> EdgeServer:
    """A server of `small_app` with the default settings."""
    return await edge_serve()


@pytest.fixture
def edge_tools() -> Any:
    """The helpers of this file, for the tests' own apps."""

    class Tools:
        answer = staticmethod(edge_answer)
        body = staticmethod(edge_body)
        read_all = staticmethod(read_all)
        read_until = staticmethod(read_until)
        app = staticmethod(small_app)
        gather = staticmethod(partial(trio.fail_after, PATIENCE))

    return Tools
