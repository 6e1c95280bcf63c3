"""One request and its response: the `receive` and `send` that the ASGI app is called with."""

from math import inf
from time import monotonic
from typing import Any, Protocol

import trio

from .body import ChunkedBody, LengthBody
from .connections import Guest
from .head import RequestHead
from .reply import CONTINUE, DateLine, Refusal
from .response import Response
from .wire import ClientGone, Wire

MAX_PIPELINED = 65_536  # bytes read ahead while a response is made
DRAINABLE = 65_536  # an unread rest of a body that is skipped rather than closed upon


class Host(Guest, Protocol):
    """The connection, as an exchange sees it."""

    wire: Wire
    buffer: bytes
    date_line: DateLine
    body_timeout: float

    def is_last(self) -> bool:
        """Should this be the connection's last response?"""


class Exchange:
    """A request being answered.

    `gone` when the client left, or the edge answered in the app's place: the app is told that
    the client is gone. `limit` is how many more bytes of body are allowed (None: any number).
    """

    __slots__ = (
        "_asked",
        "_expects",
        "_host",
        "_receiving",
        "_waiting",
        "body",
        "gone",
        "head",
        "limit",
        "response",
    )

    def __init__(self, host: Host, head: RequestHead) -> None:
        self.head = head
        self.body: LengthBody | ChunkedBody | None = None
        if head.length is None:
            self.body = ChunkedBody()
        elif head.length:
            self.body = LengthBody(head.length)
        self.response = Response(head.method, head.http_version, head.keep_alive)
        self.gone = False
        self._host = host
        self.limit: int | None = None
        self._expects = head.expects
        self._asked = False
        self._receiving = False
        self._waiting: trio.CancelScope | None = None

    async def receive(self) -> dict[str, Any]:
        """ASGI's receive: the body as it comes, then `http.disconnect` when the client goes.

        The body is read from the socket only here, so a slow app slows the client down. A
        body that is malformed or too long is answered here, and looks to the app like a
        client that went away. Cancellation loses nothing.
        """
        if self._receiving:
            raise RuntimeError("receive() is being awaited already")
        self._receiving = True
        try:
            if self.gone or self.response.complete:
                await trio.lowlevel.checkpoint()
            elif self.body is None and not self._asked:
                self._asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            elif self.body is not None and not self.body.done:
                data = await self._receive_body(self.body)
                if data is not None:
                    more = not self.body.done
                    return {"type": "http.request", "body": data, "more_body": more}
            else:
                await self._wait_for_the_end()
            return {"type": "http.disconnect"}
        finally:
            self._receiving = False

    async def _receive_body(self, body: LengthBody | ChunkedBody) -> bytes | None:
        host = self._host
        if self._expects:
            self._expects = False
            if not host.buffer and not self.response.head_sent:
                await host.wire.write(CONTINUE)
        try:
            data = await self._next_piece(body)
        except Refusal as refusal:
            await self._refuse(refusal)
            return None
        if data is None:
            self.gone = True
        elif self.limit is not None:
            self.limit -= len(data)
            if self.limit < 0:
                detail = "the body is longer than is allowed here"
                await self._refuse(Refusal("body-too-large", detail))
                return None
        return data

    async def _next_piece(self, body: LengthBody | ChunkedBody) -> bytes | None:
        """Some bytes of the body (none only at its end), or None when the client has gone."""
        host = self._host
        if host.buffer:  # no read, so nothing else gives the other connections their turn
            await trio.lowlevel.checkpoint()
        while True:
            if host.buffer:
                data, host.buffer = body.feed(host.buffer)
                if data or body.done:
                    return data
            host.read_by = monotonic() + host.body_timeout
            try:
                more = await host.wire.read()
            finally:
                host.read_by = inf
            if not more:
                return None
            host.buffer += more

    async def _wait_for_the_end(self) -> None:
        host = self._host
        with trio.CancelScope() as self._waiting:
            try:
                while len(host.buffer) < MAX_PIPELINED:
                    data = await host.wire.read()
                    if not data:
                        self.gone = True
                        return
                    host.buffer += data
                await trio.sleep_forever()
            finally:
                self._waiting = None

    async def _refuse(self, refusal: Refusal) -> None:
        """Answer in the app's place, when nothing of the app's answer is out yet."""
        self.gone = True
        response = self.response
        response.keep_alive = False
        if not response.head_sent:
            response.started = response.head_sent = True
            response.status = refusal.status
            host = self._host
            await host.wire.write(
                refusal.to_bytes(host.date_line(), with_body=self.head.method != "HEAD")
            )

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI's send. Returns when the kernel has taken the bytes.

        The head waits for the first piece of the body, so that a small response is one
        packet. Raises ClientGone when the client left or did not read for `send_timeout`,
        RuntimeError, ValueError or TypeError for a message that is not ASGI. Cancellation may
        leave half a message sent: the connection is closed then.
        """
        if self.gone:
            await trio.lowlevel.checkpoint()
            raise ClientGone
        kind = message["type"]
        if kind == "http.response.body":
            await self._send(message.get("body", b""), message.get("more_body", False))
        elif kind == "http.response.start":
            if self.response.start(message):
                await self._send(b"", True)
        else:
            raise RuntimeError(f"{kind!r} is not expected here")

    async def _send(self, body: bytes, more: bool) -> None:
        response, host = self.response, self._host
        if not response.head_sent and response.keep_alive:
            response.keep_alive = self._may_go_on()
        data = response.add(body, more, host.date_line())
        if not more and self._waiting is not None:
            self._waiting.cancel()  # the response is complete: receive() has nothing to wait for
        if data:
            try:
                await host.wire.write(data)
            except ClientGone:
                self.gone = True
                raise
        if more:  # a stream whose client reads fast must not keep the loop to itself
            await trio.lowlevel.checkpoint()

    def _may_go_on(self) -> bool:
        if self._host.is_last():
            return False
        body = self.body
        if body is None or body.done:
            return True
        return isinstance(body, LengthBody) and body.remaining <= DRAINABLE and not self._expects

    async def finish(self) -> bool:
        """The app has returned: end what it left behind. True: another request may follow."""
        response = self.response
        complete = response.complete and not self.gone
        self.gone = True
        while self._receiving:  # a task that outlived its request
            if self._waiting is not None:
                self._waiting.cancel()
            await trio.lowlevel.checkpoint()
        if not complete or not response.keep_alive:
            return False
        if self.body is None or self.body.done:
            return True
        left = DRAINABLE
        while left >= 0 and not self.body.done:
            try:
                data = await self._next_piece(self.body)
            except Refusal:
                return False
            if data is None:
                return False
            left -= len(data)
        return left >= 0

    @property
    def unread(self) -> bool:
        """Is the client perhaps still sending this request?"""
        return self.body is not None and not self.body.done
