"""What crosses between the edge and the app: ASGI's types, and an Answer as its messages."""

from collections.abc import Awaitable, Callable
from typing import Any

from ..service import ANYBODY, Grant
from .answer import STANDARD_HEADERS, Answer, RequestIds, refusal

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]

_STANDARD = [(name.lower().encode(), value.encode()) for name, value in STANDARD_HEADERS.items()]
_GRANT = "trio_jobs.grant"
_HEADERS = "trio_jobs.headers"


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers; of repeated ones, the first counts."""
    headers: dict[bytes, bytes] | None = scope.get(_HEADERS)
    if headers is None:
        headers = scope[_HEADERS] = dict(reversed(scope["headers"]))
    return headers


def grant_of(scope: Scope) -> Grant:
    """What the boundary has found out about the caller."""
    grant: Grant = scope.get(_GRANT, ANYBODY)
    return grant


def set_grant(scope: Scope, grant: Grant) -> None:
    scope[_GRANT] = grant


class ClientLeft(Exception):
    """The client has gone before its answer was ready."""


async def refuse(send: Send, error: Exception, scope: Scope, request_ids: RequestIds) -> None:
    """Answers a request that goes no further."""
    request_id = request_ids.of(headers_of(scope))
    await send_answer(send, refusal(error, request_id), request_id)


async def send_answer(send: Send, answer: Answer, request_id: str) -> None:
    """`answer` with the standard headers, as ASGI messages."""
    headers = [
        (name.lower().encode(), value.encode())
        for name, value in answer.headers.items()
        if name != "Content-Type"
    ]
    if answer.has_body:
        headers.append((b"content-type", answer.content_type.encode()))
        headers.append((b"content-length", b"%d" % len(answer.body)))
    headers.append((b"x-request-id", request_id.encode()))
    headers += _STANDARD
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
