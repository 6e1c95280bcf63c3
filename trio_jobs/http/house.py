"""The service itself: whether it lives and is ready, its outbox, and what its problems mean."""

from typing import Any

import msgspec
import trio

from ..builtin.outbox import list_outbox
from ..errors import Unavailable
from ..service import Scope
from . import pages, problems
from .answer import Answer
from .bodies import JSON
from .call import Call, Route


class StatusView(msgspec.Struct):
    status: str


class OutboxView(msgspec.Struct):
    mails: list[dict[str, Any]]


async def outbox(call: Call) -> Answer:
    """List the newest mails of the mock outbox."""
    mails = await trio.to_thread.run_sync(list_outbox, call.settings.data_dir, 100)
    return Answer(200, msgspec.json.encode({"mails": mails}))


async def alive(call: Call) -> Answer:
    """Say that the process lives."""
    return Answer(200, b'{"status":"alive"}')


async def ready(call: Call) -> Answer:
    """Say whether jobs are stored and run here right now."""
    await call.service.check()
    return Answer(200, b'{"status":"ready"}')


async def explain(call: Call) -> Answer:
    """Explain a kind of problem: a page for browsers, else JSON."""
    slug = call.params["slug"]
    kind = problems.BY_SLUG.get(slug)
    if kind is None:
        raise problems.NoSuchPath(f"There is no problem called {slug!r}.")
    if pages.wants_page(call):
        return pages.page("problem.html", kind=kind)
    return Answer(200, msgspec.json.encode(kind), {"Vary": "Accept"})


ROUTES = (
    Route(method="GET", path="/outbox", call=outbox, scope=Scope.READ, gives={200: OutboxView}),
    Route(method="GET", path="/livez", call=alive, scope=None, gives={200: StatusView}),
    Route(
        method="GET",
        path="/readyz",
        call=ready,
        scope=None,
        gives={200: StatusView},
        refuses=(Unavailable,),
    ),
    Route(
        method="GET",
        path="/problems/{slug}",
        call=explain,
        scope=None,
        gives={200: {JSON: problems.Kind, pages.MEDIA_TYPE: str}},
        refuses=(problems.NoSuchPath,),
    ),
)
