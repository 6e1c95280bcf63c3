"""The service itself: whether it lives and is ready, its outbox, and what its problems mean."""

from typing import Any

import msgspec
import trio

from ..builtin.outbox import list_outbox
from ..errors import Unavailable
from ..service import NOBODY, Scope
from . import pages, problems
from .answer import Answer
from .bodies import JSON
from .call import Call, Param, Route


class StatusView(msgspec.Struct):
    status: str


class CheckView(msgspec.Struct):
    """One thing that was looked at, and how long that took."""

    name: str
    ok: bool
    detail: str
    seconds: float


class ReadyView(msgspec.Struct):
    """`checks` is there with `?verbose`."""

    status: str
    checks: list[CheckView] | msgspec.UnsetType = msgspec.UNSET


class OutboxView(msgspec.Struct):
    mails: list[dict[str, Any]]


async def outbox(call: Call) -> Answer:
    """List the newest mails of the mock outbox."""
    call.grant.demand_all("The mails")
    mails = await trio.to_thread.run_sync(list_outbox, call.settings.data_dir, 100)
    return Answer(200, msgspec.json.encode({"mails": mails}))


async def alive(call: Call) -> Answer:
    """Say that the process lives."""
    return Answer(200, b'{"status":"alive"}')


async def ready(call: Call) -> Answer:
    """Say whether jobs are stored and claimed here right now.

    Both are tried. 503 from the first signal to stop on. `?verbose` lists each check.
    """
    checks = await call.service.checks()
    failed = [check for check in checks if not check.ok]
    if "verbose" in call.query():
        if call.grant is NOBODY:
            raise problems.Unauthenticated(problems.WHO_ASKS)
        call.grant.demand(Scope.READ)
        shown = [CheckView(*check[:3], round(check.seconds, 6)) for check in checks]
        body = ReadyView("unavailable" if failed else "ready", shown)
        return Answer(503 if failed else 200, msgspec.json.encode(body))
    if failed:
        raise Unavailable(failed[0].detail, retry_after=5.0)
    return Answer(200, b'{"status":"ready"}')


async def explain(call: Call) -> Answer:
    """Explain a kind of problem: a page for browsers, else JSON."""
    slug = call.params["slug"]
    kind = problems.BY_SLUG.get(slug)
    if kind is None:
        raise problems.NoSuchPath(f"There is no problem called {slug!r}.")
    if pages.wants_page(call):
        return pages.page(call, "problem.html", kind=kind)
    return Answer(200, msgspec.json.encode(kind), {"Vary": "Accept"})


ROUTES = (
    Route(method="GET", path="/outbox", call=outbox, scope=Scope.READ, gives={200: OutboxView}),
    Route(method="GET", path="/livez", call=alive, scope=None, gives={200: StatusView}),
    *(
        Route(
            method="GET",
            path=path,
            call=ready,
            scope=None,
            query=(Param("verbose", str, "List each check (needs jobs:read)."),),
            gives={200: ReadyView, 503: ReadyView},
            refuses=(Unavailable,),
        )
        for path in ("/readyz", "/healthz")
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
