"""The lines that a job has logged, as a list or as they come."""

import msgspec

from ..errors import InvalidInput, NotFound
from ..service import Scope, Service
from . import views
from .answer import Answer
from .bodies import JSON, off_loop
from .call import Call, Param, Route
from .query import job_id, whole_number
from .sse import MEDIA_TYPE, PING, Pages, event
from .streams import Streamed, Write
from .words import Lines, Position


class LinesView(msgspec.Struct):
    """`next` is where to go on (`after`); null at the end."""

    lines: list[views.LogLineView]
    next: int | None


async def read(call: Call) -> Answer | Streamed:
    """Read what a job has logged, oldest line first.

    With `?follow`, a stream of events until the job ends; the `id` of each is the line's number.
    """
    query = call.query()
    id_ = job_id(call.id)
    last = call.header(b"last-event-id")
    after = whole_number("after", query.get("after", "0"))
    if last:
        after = whole_number("Last-Event-ID", last)
    if "follow" in query:
        return await _follow(call.service, id_, after, resumed=bool(last))
    limit = whole_number("limit", query.get("limit", "1000"))
    found = await call.service.logs(id_, after, limit)
    size, redactor = sum(len(line.message) for line in found), call.service.redactor
    lines = await off_loop(size, lambda: [views.line_view(line, redactor) for line in found])
    next_ = lines[-1].n if len(lines) == limit else None
    return Answer(200, msgspec.json.encode(LinesView(lines, next_)))


async def _follow(service: Service, id_: str, after: int, *, resumed: bool) -> Answer | Streamed:
    """204 to a client that comes back and knows all lines of a job that has ended."""
    job = await service.get(id_)
    if resumed and job.state.final and not await service.logs(id_, after, 1):
        return Answer(204, b"")

    async def produce(write: Write) -> None:
        async with service.watch.subscribe(id_) as changes:
            last = await _send_lines(service, id_, after, write)
            if last is None:
                return
            async for page in Pages(changes, service):
                if page is None:
                    await write(PING)
                last = await _send_lines(service, id_, last, write)
                if last is None:
                    return

    return Streamed(MEDIA_TYPE, produce)


async def _send_lines(service: Service, id_: str, after: int, write: Write) -> int | None:
    """The number of the last line that was sent; None when no more will come."""
    while True:
        try:
            ended = (await service.get(id_)).state.final  # first, or its last lines were missed
            lines = await service.logs(id_, after)
        except NotFound:
            return None
        for line in lines:
            await write(event(line.n, "job.log", views.line_view(line, service.redactor)))
        if not lines:
            return None if ended else after
        after = lines[-1].n


ROUTES = (
    Route(
        method="GET",
        path="/jobs/{id}/logs",
        call=read,
        scope=Scope.READ,
        query=(
            Param("after", Position, "Only lines with a higher number."),
            Param("limit", Lines, "At most so many lines, up to 1,000."),
            Param("follow", str, "Stream lines as events, until the job ends."),
        ),
        headers=(Param("Last-Event-ID", Position, "Where a stream was cut off."),),
        gives={200: {JSON: LinesView, MEDIA_TYPE: str}, 204: None},
        refuses=(NotFound, InvalidInput),
    ),
)
