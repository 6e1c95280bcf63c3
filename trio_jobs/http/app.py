"""The Quart app: routes, and what every answer has in common."""

import itertools
import logging
import re
import secrets
from typing import cast

import msgspec
import trio
from quart import Response, g, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from .. import __version__
from ..builtin.outbox import list_outbox
from ..config import Settings
from ..service import Service
from . import jobs, problems
from .jobs import Answer

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[\w.:-]{1,128}\Z", re.ASCII)
_STANDARD_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Trio-Jobs-Version": __version__,
    "X-Content-Type-Options": "nosniff",
}


def create_app(service: Service, settings: Settings) -> QuartTrio:
    """The ASGI app over `service`; it owns nothing and starts nothing."""
    app = QuartTrio("trio_jobs", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = max(settings.max_body, settings.max_upload)
    app.config["RESPONSE_TIMEOUT"] = None
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = True
    _add_manners(app)
    _add_routes(app, service, settings)
    return app


def _add_manners(app: QuartTrio) -> None:
    prefix, numbers = secrets.token_hex(4), itertools.count(1)

    @app.before_request
    def name_the_request() -> None:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if _REQUEST_ID.match(given) else f"{prefix}-{next(numbers)}"

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        for name, value in _STANDARD_HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.errorhandler(HTTPException)
    def refused_by_framework(error: HTTPException) -> Response:
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
    def failed(error: Exception) -> Response:
        body = problems.problem(error, g.request_id)
        if body.status == 500:
            log.error("request %s failed", g.request_id, exc_info=error)
        return Response(msgspec.json.encode(body), body.status, problems.headers(error))


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
        return _response(Answer(200, msgspec.json.encode({"mails": mails}), {}))

    @app.get("/livez")
    async def alive() -> Response:
        return _response(Answer(200, b'{"status":"alive"}', {}))

    @app.get("/readyz")
    async def ready() -> Response:
        await service.check()
        return _response(Answer(200, b'{"status":"ready"}', {}))

    @app.get("/problems/<slug>")
    async def explain(slug: str) -> Response:
        kind = problems.BY_SLUG.get(slug)
        if kind is None:
            raise problems.NoSuchPath(f"There is no problem called {slug!r}.")
        return _response(Answer(200, msgspec.json.encode(kind), {}))


def _response(answer: Answer) -> Response:
    return Response(
        answer.body, answer.status, {"Content-Type": "application/json", **answer.headers}
    )
