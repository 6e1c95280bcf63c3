"""What happens to jobs, as it happens: Server-Sent Events.

`id` is the number of the change; a client that comes back with it (Last-Event-ID, or `?after=`)
misses nothing. A stream of one job begins with how the job stands, and ends with the job.
"""

from typing import Any

import msgspec
import trio
from msgspec import UNSET, UnsetType

from ..clock import to_rfc3339
from ..errors import NotFound
from ..job import Reason, State
from ..redaction import Redactor
from ..service import Scope, Service
from ..service.hiding import hide_in_progress
from ..storage.records import Job, Progress
from ..storage.watching import Change, Changes
from . import views
from .answer import Answer
from .call import Call, Param, Route
from .query import job_id, whole_number
from .sse import MEDIA_TYPE, PING, Pages, event
from .streams import Streamed, Write
from .words import JobId, Position, StateWord, Status, Time

CAUGHT_UP = 0.5
"""Seconds after which a subscription that reads the past has nothing more to tell."""

MAX_LINES = 1_000  # in one reading

_LOST = {"detail": "Some changes before this are forgotten; look at the jobs themselves."}
_NAMES = {State.RUNNING.value: "started"}
_FINAL = frozenset(state.value for state in State if state.final)


class EventView(msgspec.Struct, kw_only=True):
    """How the job stands; `lines` are what it has logged since the last event of this stream."""

    id: JobId
    type: str
    queue: str
    status: Status
    state: StateWord
    reason: str | None
    attempt: int
    version: int
    at: Time
    progress: Progress | None
    first_line: int | UnsetType = UNSET
    lines: list[views.LogLineView] | UnsetType = UNSET


async def of_all(call: Call) -> Streamed:
    """Follow all jobs, from now on or from Last-Event-ID on (Server-Sent Events)."""
    after = _position(call)
    service = call.service

    async def produce(write: Write) -> None:
        async with service.watch.subscribe(None, after) as changes:
            async for page in Pages(changes, service):
                if page is None:
                    await write(PING)
                    continue
                if not page.complete:
                    await write(event(page.last, "lost", _LOST))
                for change in page.changes:
                    name, said = shown(change, service.redactor)
                    await write(event(change.seq, name, said))

    return Streamed(MEDIA_TYPE, produce)


def shown(change: Change, redactor: Redactor) -> tuple[str, EventView]:
    """A change among those of all jobs: the name of its event, and what that says."""
    view = _view(change, change.at, redactor)
    if change.first_line is not None:
        view.first_line = change.first_line
    return _name(change), view


async def of_job(call: Call) -> Answer | Streamed:
    """Follow a job until it ends (Server-Sent Events).

    204 when it has ended and the client knows all of it.
    """
    after = _position(call)
    service = call.service
    job = await service.get(job_id(call.id))
    if after is not None and job.state.final and not await _has_more(service, job.id, after):
        return Answer(204, b"")
    return Streamed(MEDIA_TYPE, JobStream(service, job.id, after).produce)


class JobStream:
    """The events of one job."""

    def __init__(self, service: Service, id_: str, after: int | None) -> None:
        self._service = service
        self._id = id_
        self._after = after
        self._shown = 0  # the version of the job that was shown outside its changes
        self._line = 0  # the last log line that was sent

    async def produce(self, write: Write) -> None:
        async with self._service.watch.subscribe(self._id, self._after) as changes:
            if self._after is None and await self._show(write, changes.last):
                return
            async for page in Pages(changes, self._service):
                if page is None:
                    if await self._ping(write, changes.last):
                        return
                elif await self._tell(write, page):
                    return

    async def _show(self, write: Write, seq: int) -> bool:
        """How the job stands. True: it has ended."""
        try:
            job = await self._service.get(self._id)
        except NotFound:
            return True
        self._shown = job.version
        name = _name_of(job.state, job.reason)
        shown = _view(job, job.updated_at, self._service.redactor)
        await write(event(seq, name, shown))
        return job.state.final

    async def _ping(self, write: Write, seq: int) -> bool:
        """True: it has ended, and was removed before anybody could tell."""
        await write(PING)
        try:
            job = await self._service.get(self._id)
        except NotFound:
            return True
        return job.state.final and await self._show(write, seq)

    async def _tell(self, write: Write, page: Changes) -> bool:
        """True when the job has ended with the last of these changes."""
        if not page.complete and await self._show(write, page.last):
            return True
        starts = [change.first_line for change in page.changes if change.first_line is not None]
        for change in page.changes:
            shown = _view(change, change.at, self._service.redactor)
            if change.first_line is not None:
                starts.pop(0)
                shown.lines = await self._lines(change.first_line, starts[0] if starts else None)
                if not shown.lines:  # they came with the one before
                    continue
            elif change.version <= self._shown:
                continue
            await write(event(change.seq, _name(change), shown))
        last = page.changes[-1] if page.changes else None
        return last is not None and last.event in _FINAL and last.state.final

    async def _lines(self, start: int, end: int | None) -> list[views.LogLineView]:
        """The lines from `start` to before `end` that were not sent yet."""
        lines: list[views.LogLineView] = []
        self._line = max(self._line, start - 1)
        while end is None or self._line + 1 < end:
            most = MAX_LINES if end is None else min(MAX_LINES, end - self._line - 1)
            try:
                some = await self._service.logs(self._id, self._line, most)
            except NotFound:
                break
            redactor = self._service.redactor
            lines += [views.line_view(line, redactor) for line in some]
            if some:
                self._line = some[-1].n
            if len(some) < most:
                break
        return lines


def _position(call: Call) -> int | None:
    query = call.query()
    after = whole_number("after", query["after"]) if "after" in query else None
    last_event_id = call.header(b"last-event-id")
    if last_event_id:  # a browser's, when it comes back; it knows better than the URL
        return whole_number("Last-Event-ID", last_event_id)
    return after


async def _has_more(service: Service, id_: str, after: int) -> bool:
    """Has this job, which has ended, changed since `after`? (It may take a moment to know.)"""
    async with service.watch.subscribe(id_, after) as changes:
        position = -1
        while position < changes.last:  # it is still reading what other jobs did
            position = changes.last
            with trio.move_on_after(CAUGHT_UP):
                try:
                    await anext(changes)
                except StopAsyncIteration:
                    return False
                return True
    return False


def _name(change: Change) -> str:
    return _name_of(change.event, change.reason)


def _name_of(event: str, reason: str | None) -> str:
    if event == State.SCHEDULED and reason in (Reason.RETRY, Reason.TIMEOUT):
        return "job.retrying"
    return f"job.{_NAMES.get(event, event)}"


def _view(of: Change | Job, at: float, redactor: Redactor) -> EventView:
    return EventView(
        id=of.id,
        type=of.type,
        queue=of.queue,
        status=of.state.status,
        state=of.state,
        reason=of.reason,
        attempt=of.attempt,
        version=of.version,
        at=to_rfc3339(at),
        progress=hide_in_progress(of.progress, redactor),
    )


def _stream(path: str, call: Any, **more: Any) -> Route:
    return Route(
        method="GET",
        path=path,
        call=call,
        scope=Scope.READ,
        query=(Param("after", Position, "The id of the last event that is known."),),
        headers=(Param("Last-Event-ID", Position, "The same, as browsers send it."),),
        **more,
    )


ROUTES = (
    _stream(
        "/jobs/{id}/events",
        of_job,
        gives={200: MEDIA_TYPE, 204: None},
        refuses=(NotFound,),
    ),
    _stream("/events", of_all, gives={200: MEDIA_TYPE}),
)
