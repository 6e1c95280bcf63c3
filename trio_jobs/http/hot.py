"""The hot calls without the framework: `POST /jobs` with JSON, and `GET /jobs/{id}`.

An ASGI layer in front of the Quart app. It serves exactly these, through the same functions as the
routes (`jobs`, `wire`, `problems`), and hands everything else on untouched; one test suite runs
each request through both and demands the same answer. Quart costs 0.2 ms a request in contexts,
signals and routing; this 0.02.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ..config import Settings
from ..errors import TooLarge
from ..service import Service
from ..storage.records import is_json
from . import jobs
from .answer import STANDARD_HEADERS, Answer, RequestIds, refusal

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]

_JOB_PATH = "/jobs/"
_JOB_PATH_LENGTH = len(_JOB_PATH) + 36
_STANDARD = [(name.lower().encode(), value.encode()) for name, value in STANDARD_HEADERS.items()]


class HotPath:
    """The whole ASGI app: the hot calls, and `app` for everything else."""

    def __init__(
        self, app: ASGI, service: Service, settings: Settings, request_ids: RequestIds
    ) -> None:
        self._app = app
        self._service = service
        self._settings = settings
        self._request_ids = request_ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            if method == "POST" and path == "/jobs":
                headers = dict(reversed(scope["headers"]))  # of repeated ones, the first counts
                content_type = headers.get(b"content-type", b"").decode("latin-1")
                if is_json(content_type):
                    await self._create(scope, headers, content_type, receive, send)
                    return
            elif method == "GET" and len(path) == _JOB_PATH_LENGTH and path.startswith(_JOB_PATH):
                id_ = path[len(_JOB_PATH) :]
                if "/" not in id_:
                    await self._read(scope, id_, send)
                    return
        await self._app(scope, receive, send)

    async def _create(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        content_type: str,
        receive: Receive,
        send: Send,
    ) -> None:
        request_id = self._request_ids.name(headers.get(b"x-request-id", b"").decode("latin-1"))
        try:
            body = await self._body(receive)
            if body is None:
                return  # the client has gone
            answer = await jobs.create(
                self._service,
                self._settings,
                body=body,
                content_type=content_type,
                query_string=scope["query_string"],
                prefer=headers.get(b"prefer", b"").decode("latin-1"),
            )
        except Exception as error:
            answer = refusal(error, request_id)
        await send_answer(send, answer, request_id)

    async def _read(self, scope: Scope, id_: str, send: Send) -> None:
        given = _first(scope["headers"], b"x-request-id")
        request_id = self._request_ids.name(given.decode("latin-1"))
        try:
            answer = await jobs.read(self._service, id_, query_string=scope["query_string"])
        except Exception as error:
            answer = refusal(error, request_id)
        await send_answer(send, answer, request_id)

    async def _body(self, receive: Receive) -> bytes | None:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body: bytes = message.get("body", b"")
        while message.get("more_body", False):
            if len(body) > self._settings.max_body:
                raise TooLarge(jobs.body_too_large(self._settings))
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
        return body


def _first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    for candidate, value in headers:
        if candidate == name:
            return value
    return b""


async def send_answer(send: Send, answer: Answer, request_id: str) -> None:
    """`answer` with the standard headers, as ASGI messages."""
    headers = [
        (b"content-type", answer.content_type.encode()),
        *(
            (name.lower().encode(), value.encode())
            for name, value in answer.headers.items()
            if name != "Content-Type"
        ),
        (b"content-length", b"%d" % len(answer.body)),
        (b"x-request-id", request_id.encode()),
        *_STANDARD,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
