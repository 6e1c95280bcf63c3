"""The whole app, and what every answer of Quart's has in common."""

from typing import cast

import msgspec
from quart import Response, g, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from .. import logs
from ..config import Settings
from ..service import Service
from . import problems
from .answer import STANDARD_HEADERS, RequestIds, refusal
from .asgi import ASGI
from .boundary import Boundary
from .gate import Gate
from .hot import HotPath
from .measured import Measured, Routes
from .routes import ROUTES, add_routes, respond


def create_app(service: Service, settings: Settings) -> ASGI:
    """The ASGI app over `service`; it owns nothing and starts nothing."""
    request_ids = RequestIds()
    app = cast(ASGI, create_quart(service, settings, request_ids))
    hot = HotPath(app, service, settings, request_ids)
    gate = Gate(hot, service, settings, request_ids)
    boundary = Boundary(gate, settings, request_ids)
    templates = Routes((route.method, route.path) for route in ROUTES)
    return Measured(boundary, service.metrics, templates.of)


def create_quart(service: Service, settings: Settings, request_ids: RequestIds) -> QuartTrio:
    """All routes, the hot ones included; only NDJSON needs the layer in front (see `ndjson`)."""
    app = QuartTrio("trio_jobs", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = max(settings.max_body, settings.max_upload)
    app.config["RESPONSE_TIMEOUT"] = None
    app.config["BODY_TIMEOUT"] = None  # the edge has a deadline for silence
    _add_manners(app, request_ids)
    add_routes(app, service, settings)
    return app


def _add_manners(app: QuartTrio, request_ids: RequestIds) -> None:
    # All async, though none of them waits: Quart would send a plain function to a thread.

    @app.before_request
    async def name_the_request() -> None:
        g.request_id = request_ids.name(request.headers.get("X-Request-ID", ""))
        logs.request_id.set(g.request_id)  # this task is the request's own

    @app.after_request
    async def add_headers(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        for name, value in STANDARD_HEADERS.items():
            response.headers.setdefault(name, value)  # pages have rules of their own
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
        return respond(refusal(error, g.request_id))
