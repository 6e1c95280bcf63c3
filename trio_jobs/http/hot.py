"""The hot calls without the framework: `POST /jobs` with JSON, and `GET /jobs/{id}`.

An ASGI layer in front of the Quart app. It serves exactly these, through the same functions as the
routes (`jobs`, `orders`, `views`, `problems`), and hands everything else on untouched; one test
suite runs each request through both and demands the same answer. Quart costs 0.2 ms a request in
contexts, signals and routing; this 0.02.

Bodies of NDJSON are taken here as well, because Quart would not make their client wait.
"""

from collections.abc import Awaitable

from .. import logs
from ..config import Settings
from ..errors import TooLarge
from ..service import Service
from ..storage.records import is_json
from . import jobs, ndjson
from .answer import Answer, RequestIds, refusal
from .asgi import ASGI, ClientLeft, Receive, Scope, Send, send_answer

_JOB_PATH = "/jobs/"
_JOB_PATH_LENGTH = len(_JOB_PATH) + 36
_READ_HEADERS = frozenset({b"x-request-id", b"if-none-match", b"prefer"})


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
                content_type = _text(headers, b"content-type")
                if is_json(content_type):
                    answer = self._create(scope, headers, content_type, receive)
                    await self._answer(answer, headers, send)
                    return
                if ndjson.is_ndjson(content_type):
                    await self._answer(self._create_lines(scope, headers, receive), headers, send)
                    return
            elif method == "GET" and len(path) == _JOB_PATH_LENGTH and path.startswith(_JOB_PATH):
                id_ = path[len(_JOB_PATH) :]
                if "/" not in id_:
                    headers = {
                        name: value
                        for name, value in reversed(scope["headers"])
                        if name in _READ_HEADERS
                    }
                    await self._answer(self._read(scope, headers, id_, receive), headers, send)
                    return
        await self._app(scope, receive, send)

    async def _answer(
        self, coming: Awaitable[Answer], headers: dict[bytes, bytes], send: Send
    ) -> None:
        request_id = self._request_ids.name(_text(headers, b"x-request-id"))
        named = logs.request_id.set(request_id)
        try:
            answer = await coming
        except ClientLeft:
            return
        except Exception as error:
            answer = refusal(error, request_id)
        finally:
            logs.request_id.reset(named)  # this task is the connection's
        await send_answer(send, answer, request_id)

    async def _create(
        self, scope: Scope, headers: dict[bytes, bytes], content_type: str, receive: Receive
    ) -> Answer:
        return await jobs.create(
            self._service,
            self._settings,
            body=await self._body(receive),
            content_type=content_type,
            query_string=scope["query_string"],
            prefer=_text(headers, b"prefer"),
            key=_text(headers, b"idempotency-key"),
            receive=receive,
        )

    async def _create_lines(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive
    ) -> Answer:
        return await ndjson.create(
            self._service,
            self._settings,
            receive=receive,
            query_string=scope["query_string"],
            key=_text(headers, b"idempotency-key"),
        )

    async def _read(
        self, scope: Scope, headers: dict[bytes, bytes], id_: str, receive: Receive
    ) -> Answer:
        return await jobs.read(
            self._service,
            id_,
            query_string=scope["query_string"],
            prefer=_text(headers, b"prefer"),
            if_none_match=_text(headers, b"if-none-match"),
            receive=receive,
        )

    async def _body(self, receive: Receive) -> bytes:
        message = await receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body", False):
            if len(body) > self._settings.max_body:
                raise TooLarge(jobs.body_too_large(self._settings))
            message = await receive()
            body += message.get("body", b"")
        if message["type"] == "http.disconnect":
            raise ClientLeft
        return body


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    value = headers.get(name)
    return value.decode("latin-1") if value else ""
