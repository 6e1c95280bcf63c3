"""One client's connection: its requests in order, its deadlines, and how it ends."""

from collections.abc import Awaitable, Callable, Generator
from math import inf
from time import monotonic
from typing import Any

import trio
from hypercorn.trio.worker_context import WorkerContext

from .access_log import NoLine
from .config import LOGGER, EdgeConfig, Scope
from .contain import contain
from .exchange import Exchange
from .h2 import serve_h2
from .head import RequestHead, check_unfinished
from .linger import LINGER, linger
from .peer import Peer, Stream
from .reply import Refusal
from .wire import ClientGone, PlainWire, TlsWire, Wire

CLOSE_TIMEOUT = 1.0  # for TLS's last word to a client that does not read

App = Callable[..., Awaitable[None]]

_CLIENTS = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


class EdgeConnection:
    """Serves one stream; hypercorn's `TCPServer`, as far as `hypercorn.trio.run` knows.

    Awaiting it returns when the connection is closed. Errors end this connection only;
    cancellation closes it at once.
    """

    def __init__(
        self,
        app: App,
        config: EdgeConfig,
        context: WorkerContext,
        state: dict[str, Any],
        stream: Stream,
    ) -> None:
        self._app = app
        self._config = config
        self._context = context
        self._state = state
        self._stream = stream
        self._settings = config.settings
        self._scope = trio.CancelScope()
        self._why = ""
        self._served = False
        self._line = config.access_log.line() if config.access_log else NoLine()
        self._exchange: Exchange | None = None
        self._fresh = True
        self._skipped = False
        self.wire: Wire
        self.buffer = b""
        self.idle = True
        self.read_by = self.send_by = inf
        self.date_line = config.date_line
        self.body_timeout = config.settings.body_timeout

    def __await__(self) -> Generator[Any, None, None]:
        return self.run().__await__()

    def end(self, why: str) -> None:
        """Stop now; the reason is recorded first."""
        self._why = why
        self._scope.cancel()

    def is_last(self) -> bool:
        """Is the server stopping?"""
        return self._config.connections.stopping or self._context.terminated.is_set()

    async def run(self) -> None:
        """Serve the connection until either side closes it."""
        try:
            await self._enter()
        except BaseException as error:
            contain(error, "a connection failed", _CLIENTS)
        finally:
            self._line.end(0, 0)
            with trio.move_on_after(CLOSE_TIMEOUT):
                await self._stream.aclose()

    async def _enter(self) -> None:
        config = self._config
        peer = Peer(self._stream, config.proxies)
        if not config.connections.admit(self, peer.counted_as):
            if isinstance(self._stream, trio.SocketStream):
                self.wire = PlainWire(self._stream, self, LINGER)
                await self._refuse(Refusal("too-many-connections", "try again in a moment"))
            return
        try:
            if await self._open_wire():
                await self._serve(peer)
        finally:
            config.connections.leave(self, peer.counted_as)

    async def _open_wire(self) -> bool:
        """True: HTTP/1.1 may begin. False: it is over, or HTTP/2 has been served."""
        stream, send_timeout = self._stream, self._settings.send_timeout
        if isinstance(stream, trio.SocketStream):
            self.wire = PlainWire(stream, self, send_timeout)
            return True
        if not await self._shake_hands(stream):
            return False
        if stream.selected_alpn_protocol() == "h2":
            self.idle = False
            with self._scope:
                await serve_h2(self._app, self._config, self._context, self._state, stream)
            return False
        self.wire = TlsWire(stream, self, send_timeout)
        return True

    async def _shake_hands(self, stream: trio.SSLStream[trio.SocketStream]) -> bool:
        self._scope.deadline = trio.current_time() + self._config.ssl_handshake_timeout
        with self._scope as scope:
            try:
                await stream.do_handshake()
            except trio.BrokenResourceError:
                return False
        self._scope = trio.CancelScope()
        return not scope.cancelled_caught

    async def _serve(self, peer: Peer) -> None:
        refusal: Refusal | None = None
        while True:
            with self._scope:
                try:
                    while (head := await self._next_head()) is not None:
                        if not await self._answer(head, peer):
                            break
                        self._served = True
                except Refusal as caught:
                    refusal = caught
            if self._why != "stop":
                break
            # A request may have come in the very moment of the stop: look once more.
            self.buffer += self.wire.read_now()
            if b"\r\n\r\n" not in self.buffer:
                break
            self._why, self._scope = "", trio.CancelScope()
        self.read_by = inf
        if self._why == "read" and self._is_owed_an_answer():
            refusal = Refusal("request-timeout", "the request did not come in time")
        if refusal is not None:
            await self._refuse(refusal)
        elif not self._why and (self.buffer or (self._exchange and self._exchange.unread)):
            await linger(self.wire, self._config.connections)

    def _is_owed_an_answer(self) -> bool:
        if self._exchange is None:
            return bool(self.buffer)
        return not self._exchange.response.head_sent

    async def _next_head(self) -> RequestHead | None:
        """The next request, or None when there is none to come. Raises Refusal."""
        self._exchange = None
        self.idle = self._fresh = True
        self._skipped = False
        if self.buffer:
            await trio.lowlevel.checkpoint()  # pipelined: nothing else gives others their turn
        elif self.is_last():
            self.buffer = self.wire.read_now()
            if not self.buffer:
                return None
        settings = self._settings
        patience = settings.keep_alive if self._served else settings.head_timeout
        self.read_by = monotonic() + patience
        while (end := self._find_head()) < 0:
            data = await self.wire.read()
            if not data:
                self.buffer = b""
                return None
            self.buffer += data
        self.idle = False
        self.read_by = inf
        raw, self.buffer = self.buffer[:end], self.buffer[end:]
        return RequestHead(raw, settings)

    def _find_head(self) -> int:
        """How long the head at the front of the buffer is; -1 while it is not all there."""
        buffer = self.buffer
        if not buffer:
            return -1
        if not self._skipped and buffer[:2] == b"\r\n":  # RFC 9112 §2.2: one is forgiven
            self._skipped = True
            self.buffer = buffer = buffer[2:]
        end = buffer.find(b"\r\n\r\n")
        if end >= 0:
            return end + 4
        settings = self._settings
        if self._fresh:
            self._fresh = False
            self.read_by = monotonic() + settings.head_timeout
        if buffer:
            check_unfinished(buffer, settings.max_head, settings.max_url)
        return -1

    async def _answer(self, head: RequestHead, peer: Peer) -> bool:
        """Let the app answer. True: another request may follow. Raises Refusal."""
        scope = peer.scope(head, self._state)
        self._line.begin(scope)
        exchange = self._exchange = Exchange(self, head)
        response = exchange.response
        if head.length != 0:
            limit = exchange.limit = self._allowed(scope)
            if limit is not None and head.length is not None and head.length > limit:
                raise Refusal("body-too-large", f"at most {limit} bytes are allowed here")
        try:
            await self._call(exchange, scope)
            return await exchange.finish()
        finally:
            exchange.gone = True
            if response.head_sent:
                self._line.end(response.status, response.sent, response.headers)

    async def _call(self, exchange: Exchange, scope: Scope) -> None:
        head, response = exchange.head, exchange.response
        try:
            await self._app(
                scope,
                exchange.receive,
                exchange.send,
                trio.to_thread.run_sync,
                trio.from_thread.run,
            )
        except BaseException as error:
            contain(error, f"{head.method} {head.path!r} failed", (ClientGone,))
        else:
            if not response.complete and not exchange.gone:
                LOGGER.error("%s %r was left without an answer", head.method, head.path)
        if not response.head_sent and not exchange.gone:
            raise Refusal("internal-error", "the server could not answer this request")

    def _allowed(self, scope: Scope) -> int | None:
        try:
            return self._config.body_limit(scope)
        except Exception as error:
            contain(error, "body_limit failed", ())
            raise Refusal("internal-error", "the server could not take this request") from error

    async def _refuse(self, refusal: Refusal) -> None:
        with_body = self._exchange is None or self._exchange.head.method != "HEAD"
        self._line.end(refusal.status, 0)
        with trio.move_on_after(LINGER):
            await self.wire.write(refusal.to_bytes(self.date_line(), with_body=with_body))
            await linger(self.wire, self._config.connections)
