"""Who may ask at all, token or not: programs, and not the web pages that a browser shows.

A page that a browser of this machine shows can send requests here, and a name that its owner points
to 127.0.0.1 makes it read the answers too (DNS rebinding). So the Host must be a name of ours, and
what a browser says comes from another site may not change anything.
"""

from urllib.parse import urlsplit

from ..config import Settings
from .answer import RequestIds
from .asgi import ASGI, Receive, Scope, Send, headers_of, refuse
from .problems import Forbidden

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Boundary:
    """An ASGI layer in front of the whole app; it answers what may not pass with 403."""

    def __init__(self, app: ASGI, settings: Settings, request_ids: RequestIds) -> None:
        self._app = app
        self._request_ids = request_ids
        bound = urlsplit(f"//{settings.bind}").hostname or ""
        # Where a token is needed, a page that reaches us by a name of its own has none to send.
        self._any_host = (
            settings.bind.startswith("unix:")
            or "*" in settings.allowed_hosts
            or (settings.needs_tokens and not settings.allowed_hosts)
        )
        self._hosts = _LOCAL | {bound} | {name.lower() for name in settings.allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope["method"], headers_of(scope))
            except Forbidden as error:
                await refuse(send, error, scope, self._request_ids)
                return
        await self._app(scope, receive, send)

    def _check(self, method: str, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not self._any_host and _name(host) not in self._hosts:
            raise Forbidden(
                f"This service is not known as {_name(host)!r} here; the setting allowed_hosts "
                "adds names."
            )
        if method in _SAFE:
            return
        if headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site"):
            raise Forbidden("Web pages of other sites may not change anything here.")
        origin = headers.get(b"origin")
        if origin is not None and _netloc(origin.decode("latin-1").lower()) != host:
            raise Forbidden("Web pages of other origins may not change anything here.")


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _name(host: str) -> str:
    """The Host without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
