"""Who asks, and how often: tokens and their rates, in front of every call.

Whatever is wrong with a token, the answer is the same 401: none, a malformed one, one that was
never given, was revoked or has expired.
"""

from math import inf

import trio

from ..config import Settings
from ..service import ANYBODY, NOBODY, Grant, Service
from .answer import RequestIds
from .asgi import ASGI, Receive, Scope, Send, headers_of, refuse, set_grant
from .problems import WHO_ASKS, TooManyRequests, Unauthenticated

PUBLIC = frozenset({"/", "/docs", "/openapi.json", "/livez", "/readyz", "/healthz"})
PUBLIC_UNDER = ("/problems/", "/static/")
UNLIMITED = frozenset({"/livez", "/readyz", "/healthz", "/worker/heartbeat", "/worker/settle"})
"""… and what, refused, would cost work that is done."""
MOST_BUCKETS = 10_000


class Gate:
    """An ASGI layer: knows the caller, or answers 401; and 429 to who asks too often."""

    def __init__(
        self, app: ASGI, service: Service, settings: Settings, request_ids: RequestIds
    ) -> None:
        self._app = app
        self._tokens = service.tokens
        self._open = not settings.needs_tokens
        self._request_ids = request_ids
        self._throttle = Throttle(settings.rate_limit) if settings.rate_limit else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            authorization = headers_of(scope).get(b"authorization")
            grant = ANYBODY
            try:
                if authorization is not None or not self._open:
                    grant = await self._known(authorization, scope["path"])
                if self._throttle is not None and scope["path"] not in UNLIMITED:
                    self._throttle.count(grant.id)
            except Exception as error:
                await refuse(send, error, scope, self._request_ids)
                return
            set_grant(scope, grant)
        await self._app(scope, receive, send)

    async def _known(self, authorization: bytes | None, path: str) -> Grant:
        if authorization is not None:
            kind, _, secret = authorization.decode("latin-1").partition(" ")
            grant = await self._tokens.recognise(secret.strip())
            if grant is not None and kind.lower() == "bearer":
                return grant
        if path in PUBLIC or path.startswith(PUBLIC_UNDER):
            return NOBODY
        raise Unauthenticated(WHO_ASKS)


class Throttle:
    """A bucket of requests for each token, which holds those of two seconds."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(1.0, 2 * rate)
        self._buckets: dict[str, tuple[float, float]] = {}  # how full, and when

    def count(self, token: str) -> None:
        """Raises TooManyRequests."""
        now = trio.current_time()
        level, since = self._buckets.get(token, (self._most, -inf))
        level = min(self._most, level + (now - since) * self._rate)
        if level < 1:
            raise TooManyRequests(
                f"More than {self._rate:g} requests a second (rate_limit).",
                (1 - level) / self._rate,
            )
        self._buckets[token] = level - 1, now
        if len(self._buckets) > MOST_BUCKETS:  # of tokens that have come and gone
            self._buckets.pop(next(iter(self._buckets)))
