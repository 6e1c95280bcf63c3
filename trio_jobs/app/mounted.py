"""The HTTP API of an app, within an ASGI app of somebody else's."""

from dataclasses import replace
from typing import Protocol

from ..config import Settings
from ..errors import NotOpen, Unavailable
from ..http import create_app
from ..http.answer import RequestIds
from ..http.asgi import ASGI, Receive, Scope, Send, refuse
from ..http.leftovers import Leftovers
from ..http.prefix import without_prefix
from ..service import Service

HERE = "localhost:0"  # who serves is not us; only programs of this machine shall be let in


class Place(Protocol):
    """Where requests go: what is open now, and how. Both raise NotOpen."""

    @property
    def service(self) -> Service: ...
    @property
    def settings(self) -> Settings: ...


class Mounted:
    """An ASGI app, for any prefix; it answers 503 while `place` is not open.

    Without `tokens` nobody needs one, unless `auth` says so, but the Host must be a name of this
    machine or one of `allowed_hosts`.
    """

    def __init__(self, place: Place, *, tokens: bool) -> None:
        self._place = place
        self._tokens = tokens
        self._request_ids = RequestIds()
        self._made: tuple[Service, ASGI] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await self._answer(without_prefix(scope), receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            app = self._app(self._place.service)
        except NotOpen:
            closed = Unavailable("The queue is not open.", retry_after=1.0)
            await refuse(send, closed, scope, self._request_ids)
        else:
            await app(scope, receive, send)

    def _app(self, service: Service) -> ASGI:
        """The app over `service`, which is another each time that the place is opened."""
        if self._made is None or self._made[0] is not service:
            settings = replace(self._place.settings, bind=HERE)
            if self._tokens:
                settings = replace(settings, auth="required")
            self._made = service, Leftovers(create_app(service, settings))
        return self._made[1]


async def _live(receive: Receive, send: Send) -> None:
    """Nothing begins or ends with the server: that is up to who opens the app."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
