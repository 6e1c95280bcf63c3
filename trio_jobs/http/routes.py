"""Every call of the API, and how Quart serves them."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from quart import Response, g, request
from quart_trio import QuartTrio
from werkzeug.routing import BaseConverter, Map

from ..config import Settings
from ..service import Service
from . import (
    bulk,
    events,
    history,
    house,
    jobs,
    logs,
    metrics,
    moves,
    pages,
    queues,
    tokens,
    types,
    welcome,
    work,
    work_by_hand,
    workers,
)
from .answer import Answer
from .asgi import grant_of, headers_of
from .call import Call, Route
from .docs import Document
from .prefix import prefix_of
from .streams import StreamBody, Streamed

DOCUMENT = Document(
    (
        *jobs.ROUTES,
        *moves.ROUTES,
        *bulk.ROUTES,
        *history.ROUTES,
        *logs.ROUTES,
        *events.ROUTES,
        *queues.ROUTES,
        *tokens.ROUTES,
        *metrics.ROUTES,
        *types.ROUTES,
        *work.ROUTES,
        *work_by_hand.ROUTES,
        *workers.ROUTES,
        *house.ROUTES,
        *pages.ROUTES,
        *welcome.ROUTES,
    )
)
ROUTES: tuple[Route, ...] = DOCUMENT.routes


class Beside(BaseConverter):
    """A part of a path, but none of these words: GET /jobs/cancel is a 405, not a strange id."""

    def __init__(self, rules: Map, *words: str) -> None:
        super().__init__(rules)
        self.regex = rf"(?!(?:{'|'.join(words)})\Z)[^/]+"


def add_routes(app: QuartTrio, service: Service, settings: Settings) -> None:
    """All of them."""
    app.url_map.converters["beside"] = Beside
    app.url_map.merge_slashes = False  # a path is as it is: no redirects
    for route in ROUTES:
        app.add_url_rule(
            _rule(route.path),
            f"{route.method} {route.path}",
            _view(route, service, settings),
            methods=[route.method],
        )


def _rule(path: str) -> str:
    """`path` as werkzeug writes it."""
    before, brace, after = path.partition("{")
    if not brace:
        return path
    rest = {route.path.removeprefix(before) for route in ROUTES if route.path.startswith(before)}
    words = ",".join(f"'{word}'" for word in sorted(rest) if not {"/", "{"} & {*word})
    kind = f"beside({words}):" if words else ""
    return f"{before}<{kind}{after}".replace("{", "<").replace("}", ">")


def _view(route: Route, service: Service, settings: Settings) -> Callable[..., Awaitable[Response]]:
    async def view(**params: str) -> Response:
        scope = cast("dict[str, Any]", request.scope)
        grant = grant_of(scope)
        call = Call(
            service=service.within(grant),
            settings=settings,
            headers=headers_of(scope),
            query_string=request.query_string,
            params=params,
            body=cast(bytes, await request.get_data(as_text=False)),
            request_id=g.request_id,
            grant=grant,
            scheme=scope["scheme"],
            prefix=prefix_of(scope),
        )
        return respond(await route.answer(call))

    return view


def respond(answer: Answer | Streamed) -> Response:
    """`answer` as Quart takes it."""
    if isinstance(answer, Streamed):
        body = b"" if request.method == "HEAD" else StreamBody(answer.produce)
        headers: Any = {"Content-Type": answer.content_type, "X-Accel-Buffering": "no"}
        return Response(body, 200, headers)
    headers = {**answer.headers, "Content-Type": answer.content_type}
    response = Response(answer.body, answer.status, headers)
    if not answer.has_body:
        del response.headers["Content-Type"]
        del response.headers["Content-Length"]
    return response
