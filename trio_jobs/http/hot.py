"""The hot calls without the framework: `POST /jobs` with JSON, `GET /jobs/{id}`, and what workers
elsewhere ask (`POST /worker/…`).

An ASGI layer in front of the Quart app. It serves exactly these, through the same functions as the
routes (`jobs`, `orders`, `views`, `problems`), and hands everything else on untouched; one test
suite runs each request through both and demands the same answer. Quart costs 0.2 ms a request in
contexts, signals and routing; this 0.02.

Bodies of NDJSON are taken here as well, because Quart would not make their client wait.
"""

from collections.abc import Awaitable
from typing import Any, cast

from .. import logs
from ..config import Settings
from ..errors import TooLarge
from ..service import Scope as Right
from ..service import Service
from ..storage.records import is_json
from . import jobs, ndjson, work
from .answer import Answer, RequestIds, refusal
from .asgi import ASGI, ClientLeft, Receive, Scope, Send, grant_of, headers_of, send_answer
from .bodies import body_too_large
from .call import Call, Route
from .prefix import prefix_of

_JOB_PATH = "/jobs/"
_WORK = {route.path: route for route in work.ROUTES}
_JOB_PATH_LENGTH = len(_JOB_PATH) + 36


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
                headers = headers_of(scope)
                content_type = headers.get(b"content-type", b"").decode("latin-1")
                if is_json(content_type):
                    await self._answer(self._create(scope, headers, receive), headers, send)
                    return
                if ndjson.is_ndjson(content_type):
                    await self._answer(self._create_lines(scope, headers, receive), headers, send)
                    return
            elif method == "POST" and path in _WORK:
                headers = headers_of(scope)
                await self._answer(self._work(scope, headers, _WORK[path], receive), headers, send)
                return
            elif method == "GET" and len(path) == _JOB_PATH_LENGTH and path.startswith(_JOB_PATH):
                id_ = path[len(_JOB_PATH) :]
                if "/" not in id_:
                    headers = headers_of(scope)
                    await self._answer(self._read(scope, headers, id_, receive), headers, send)
                    return
        await self._app(scope, receive, send)

    async def _answer(
        self, coming: Awaitable[Answer], headers: dict[bytes, bytes], send: Send
    ) -> None:
        request_id = self._request_ids.of(headers)
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

    async def _create(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Answer:
        body = await self._body(receive, self._settings.max_body)
        call = self._call(scope, headers, body=body, receive=receive)
        return cast(Answer, await jobs.CREATE.answer(call))

    async def _work(
        self, scope: Scope, headers: dict[bytes, bytes], route: Route, receive: Receive
    ) -> Answer:
        body = await self._body(receive, work.limit(self._settings))
        call = self._call(scope, headers, body=body, receive=receive)
        return cast(Answer, await route.answer(call))

    async def _create_lines(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive
    ) -> Answer:
        call = self._call(scope, headers)
        call.grant.demand(Right.WRITE)
        return await ndjson.create(call, receive)

    async def _read(
        self, scope: Scope, headers: dict[bytes, bytes], id_: str, receive: Receive
    ) -> Answer:
        call = self._call(scope, headers, params={"id": id_}, receive=receive)
        return cast(Answer, await jobs.READ.answer(call))

    def _call(self, scope: Scope, headers: dict[bytes, bytes], **more: Any) -> Call:
        grant = grant_of(scope)
        return Call(
            service=self._service.within(grant),
            settings=self._settings,
            headers=headers,
            query_string=scope["query_string"],
            grant=grant,
            scheme=scope["scheme"],
            prefix=prefix_of(scope),
            **more,
        )

    async def _body(self, receive: Receive, limit: int) -> bytes:
        message = await receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body", False):
            if len(body) > limit:
                raise TooLarge(body_too_large(limit))
            message = await receive()
            body += message.get("body", b"")
        if message["type"] == "http.disconnect":
            raise ClientLeft
        return body
