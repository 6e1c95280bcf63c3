"""What a client still sends when it has been refused already.

Our own edge reads on, or hangs up. Servers of others (hypercorn, say) may do neither as long as
nobody takes the body, and a client that writes before it reads would never see the answer.
"""

from typing import Any

import trio

from .asgi import ASGI, Receive, Scope, Send

MOST = 64_000_000  # bytes
LONGEST = 10.0  # seconds


class Leftovers:
    """An ASGI layer that takes the rest of a request's body before it is refused, up to a limit."""

    def __init__(self, app: ASGI) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(receive)

        async def send_after_body(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                await body.drop()
            await send(message)

        await self._app(scope, body.receive, send_after_body)


class _Body:
    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_ended = False
        self._is_read = False  # by somebody, right now

    async def receive(self) -> dict[str, Any]:
        self._is_read = True
        try:
            message = await self._receive()
        finally:
            self._is_read = False
        if not message.get("more_body", False):
            self._has_ended = True
        return message

    async def drop(self) -> None:
        left = MOST
        with trio.move_on_after(LONGEST):
            while not self._has_ended and not self._is_read and left > 0:
                message = await self.receive()
                left -= len(message.get("body", b""))
