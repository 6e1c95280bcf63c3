"""The Quart app: routes, and what every answer has in common."""

from typing import Any, cast

import msgspec
import trio
from quart import Response, g, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from ..builtin.outbox import list_outbox
from ..config import Settings
from ..service import Service
from . import jobs, problems
from .answer import STANDARD_HEADERS, Answer, RequestIds, refusal
from .boundary import Boundary
from .hot import ASGI, HotPath


def create_app(service: Service, settings: Settings) -> ASGI:
    """The ASGI app over `service`; it owns nothing and starts nothing."""
    request_ids = RequestIds()
    app = cast(ASGI, create_quart(service, settings, request_ids))
    hot = HotPath(app, service, settings, request_ids)
    return Boundary(hot, settings, request_ids)


def create_quart(service: Service, settings: Settings, request_ids: RequestIds) -> QuartTrio:
    """All routes, the hot ones included."""
    app = QuartTrio("trio_jobs", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = max(settings.max_body, settings.max_upload)
    app.config["RESPONSE_TIMEOUT"] = None
    app.config["BODY_TIMEOUT"] = None  # the edge has a deadline for silence
    _add_manners(app, request_ids)
    _add_routes(app, service, settings)
    return app


def _add_manners(app: QuartTrio, request_ids: RequestIds) -> None:
    # All async, though none of them waits: Quart would send a plain function to a thread.

    @app.before_request
    async def name_the_request() -> None:
        g.request_id = request_ids.name(request.headers.get("X-Request-ID", ""))

    @app.after_request
    async def add_headers(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        response.headers.update(STANDARD_HEADERS)
        return response

    @app.errorhandler(HTTPException)
    async def refused_by_framework(error: HTTPException) -> Response:
        status, detail = error.code or 500, error.description or ""
        headers = {"Content-Type": problems.MEDIA_TYPE}
        if isinstance(error, RequestEntityTooLarge):
            detail = "The body is larger than this server takes (max_body, max_upload)."
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            headers["Allow"] = ", ".join(sorted(error.valid_methods))
        if status == 404:
            detail = f"There is nothing at {request.path}."
        body = problems.framework_problem(status, detail, g.request_id)
        return Response(msgspec.json.encode(body), status, headers)

    @app.errorhandler(Exception)
    async def failed(error: Exception) -> Response:
        return _response(refusal(error, g.request_id))


def _add_routes(app: QuartTrio, service: Service, settings: Settings) -> None:
    @app.post("/jobs")
    async def create_jobs() -> Response:
        return _response(
            await jobs.create(
                service,
                settings,
                body=cast(bytes, await request.get_data(as_text=False)),
                content_type=request.headers.get("Content-Type", ""),
                query_string=request.query_string,
                prefer=request.headers.get("Prefer", ""),
            )
        )

    @app.get("/jobs")
    async def list_jobs() -> Response:
        return _response(await jobs.index(service, query_string=request.query_string))

    @app.get("/jobs/<id_>")
    async def read_job(id_: str) -> Response:
        return _response(await jobs.read(service, id_, query_string=request.query_string))

    @app.get("/outbox")
    async def outbox() -> Response:
        mails = await trio.to_thread.run_sync(list_outbox, settings.data_dir, 100)
        return _response(Answer(200, msgspec.json.encode({"mails": mails})))

    @app.get("/livez")
    async def alive() -> Response:
        return _response(Answer(200, b'{"status":"alive"}'))

    @app.get("/readyz")
    async def ready() -> Response:
        await service.check()
        return _response(Answer(200, b'{"status":"ready"}'))

    @app.get("/problems/<slug>")
    async def explain(slug: str) -> Response:
        kind = problems.BY_SLUG.get(slug)
        if kind is None:
            raise problems.NoSuchPath(f"There is no problem called {slug!r}.")
        return _response(Answer(200, msgspec.json.encode(kind)))


def _response(answer: Answer) -> Response:
    headers: Any = {**answer.headers, "Content-Type": answer.content_type}
    return Response(answer.body, answer.status, headers)
