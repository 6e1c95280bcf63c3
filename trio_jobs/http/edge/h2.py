"""HTTP/2 over TLS: hypercorn's own connection class, with a rail around it.

hypercorn shields its sends, so a client that does not read would hold them, and our stop, for
ever. Here each send has a deadline, and cancellation closes the socket from outside.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import trio
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

from .config import EdgeConfig
from .reply import Refusal

SKIP_TIMEOUT = 2.0  # seconds that an answered request may go on

App = Callable[..., Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def serve_h2(
    app: App,
    config: EdgeConfig,
    context: WorkerContext,
    state: dict[str, Any],
    stream: trio.SSLStream[trio.SocketStream],
) -> None:
    """Serve an HTTP/2 connection whose handshake is done.

    Whatever hypercorn raises is raised here, perhaps in a group; cancellation closes the
    socket at once, also under hypercorn's shields.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cut_on_cancel, stream)
        bounded: Any = _BoundedStream(stream, config.settings.send_timeout)
        guarded: Any = _GuardedApp(app, config)
        await TCPServer(guarded, config, context, state, bounded)
        nursery.cancel_scope.cancel()


async def _cut_on_cancel(stream: trio.SSLStream[trio.SocketStream]) -> None:
    try:
        await trio.sleep_forever()
    finally:
        stream.transport_stream.socket.close()


class _BoundedStream:
    """The stream as hypercorn uses it, with a deadline on each send."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream], send_timeout: float) -> None:
        self._stream = stream
        self._send_timeout = send_timeout
        self.transport_stream = stream.transport_stream
        self.do_handshake = stream.do_handshake
        self.selected_alpn_protocol = stream.selected_alpn_protocol
        self.receive_some = stream.receive_some

    async def send_all(self, data: bytes) -> None:
        with trio.move_on_after(self._send_timeout):
            await self._stream.send_all(data)
            return
        self.transport_stream.socket.close()
        raise trio.BrokenResourceError("the client does not read")

    async def send_eof(self) -> None:
        raise AttributeError("TLS has no half-close")  # what hypercorn expects of it

    async def aclose(self) -> None:
        with trio.move_on_after(1.0):
            await self._stream.aclose()


class _GuardedApp:
    """The app, with the edge's own rules for what hypercorn lets through."""

    def __init__(self, app: App, config: EdgeConfig) -> None:
        self._app = app
        self._config = config

    async def __call__(
        self, scope: dict[str, Any], receive: Receive, send: Send, *threads: Any
    ) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # hypercorn answers 403
            return
        client = tuple(scope["client"]) if scope["client"] else None
        if self._config.proxies.trusts(client):
            scope["client"], scope["scheme"] = self._config.proxies.origin(
                scope["headers"], client, scope["scheme"]
            )
        body = _LimitedBody(self._config.body_limit(scope), receive, send)
        if body.is_too_long(scope["headers"]):
            await body.refuse()
            return
        with suppress(trio.BrokenResourceError):
            await self._app(scope, body.receive, body.send, *threads)


class _LimitedBody:
    """Counts a request's body as the app receives it, and keeps its stream open until its end.

    hypercorn 0.18 forgets a stream when the response is complete, and dies of a KeyError, the
    whole connection with it, when more of the request comes: so the last piece of an early
    answer waits, for a while, until the request is all there.
    """

    def __init__(self, limit: int | None, receive: Receive, send: Send) -> None:
        self._limit = limit
        self._left = limit
        self._receive = receive
        self._send = send
        self._started = self._refused = False
        self._ended = trio.Event()

    def is_too_long(self, headers: list[tuple[bytes, bytes]]) -> bool:
        if self._limit is None:
            return False
        lengths = [value for name, value in headers if name == b"content-length"]
        return any(value.isdigit() and int(value[:18]) > self._limit for value in lengths)

    async def refuse(self) -> None:
        refusal = Refusal("body-too-large", f"at most {self._limit} bytes are allowed here")
        headers, body = refusal.headers_and_body()
        start = {"type": "http.response.start", "status": refusal.status, "headers": headers}
        await self._send(start)
        await self._send_body({"type": "http.response.body", "body": body})

    async def receive(self) -> dict[str, Any]:
        if self._refused:
            return {"type": "http.disconnect"}
        message = await self._pull()
        if self._left is not None:
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self._refused = True
                if not self._started:
                    await self.refuse()
                return {"type": "http.disconnect"}
        return message

    async def send(self, message: dict[str, Any]) -> None:
        if self._refused:
            raise trio.BrokenResourceError("the request was refused")
        self._started = True
        if message["type"] == "http.response.body":
            await self._send_body(message)
        else:
            await self._send(message)

    async def _send_body(self, message: dict[str, Any]) -> None:
        if not message.get("more_body", False) and not self._ended.is_set():
            await self._send({**message, "more_body": True})
            await self._skip_rest()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def _skip_rest(self) -> None:
        async def pull() -> None:
            while not self._ended.is_set():
                await self._pull()

        with trio.move_on_after(SKIP_TIMEOUT):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pull)
                await self._ended.wait()  # the app may be the one that reads the end
                nursery.cancel_scope.cancel()

    async def _pull(self) -> dict[str, Any]:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._ended.set()
        return message
