"""What happens to jobs, as it happens: Server-Sent Events, taken up again where they broke off."""

import re
from datetime import datetime
from typing import Any

import msgspec

from ..job import State
from .caller import Caller, pause
from .errors import Problem, ServerFailed
from .job import Progress
from .wire import Lost, Request, Stream

SILENCE = 45.0
"""Seconds; a service that lives says something, if only a ping, every 15."""

_ENDS = frozenset(f"job.{state.value}" for state in State if state.final)
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


class LogLine(msgspec.Struct, frozen=True):
    """What a job has logged."""

    n: int
    at: datetime
    level: str
    attempt: int
    message: str


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a job. `name` is `job.queued`, `job.started`, `job.progress`, `job.log`,
    `job.retrying`, `job.done`, `job.failed` …; `seq` is its number, for `after`.

    `lost` is no job's: changes before it are forgotten, as `detail` says. `lines` come with
    `job.log` where one job is followed.
    """

    seq: int
    name: str
    id: str = ""
    type: str = ""
    queue: str = ""
    status: str = ""
    state: str = ""
    reason: str | None = None
    attempt: int = 0
    version: int = 0
    at: datetime | None = None
    progress: Progress | None = None
    lines: tuple[LogLine, ...] = ()
    detail: str | None = None

    @property
    def ended(self) -> bool:
        """The job is done, failed or cancelled."""
        return self.name in _ENDS


class Parser:
    """From bytes to events, however the bytes are cut."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[bytes, bytes] = {}

    def feed(self, data: bytes) -> list[Event]:
        *lines, self._rest = _LINE_END.split(self._rest + data)
        events = []
        for line in lines:
            name, _, value = line.partition(b":")
            if name:  # a line that begins with a colon is a ping
                self._fields[name] = value.removeprefix(b" ")
            elif not line:
                if b"data" in self._fields:
                    events.append(_event(self._fields))
                self._fields.clear()
        return events


class Events:
    """Iterates over events; an `async with` around it closes the connection at its end.

    A stream that breaks off is asked for again, from the last event on. Raises Unreachable once
    that was in vain for as long as a call may take, and whatever else the service says.
    """

    def __init__(self, caller: Caller, path: str, after: int | None, *, of_job: bool) -> None:
        self._caller = caller
        self._path = path
        self._after = after
        self._of_job = of_job
        self._stream: Stream | None = None
        self._parser = Parser()
        self._ready: list[Event] = []
        self._over = False
        self._silent_since = caller.wire.now()
        self._tries = 0

    def __aiter__(self) -> "Events":
        return self

    async def __aenter__(self) -> "Events":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connection; nothing comes after that."""
        self._over = True
        await self._hang_up()

    async def __anext__(self) -> Event:
        while not self._ready:
            if self._over:
                await self._hang_up()
                raise StopAsyncIteration
            try:
                await self._listen()
            except Lost as lost:
                await self._hang_up()
                await self._again(lost)
        event = self._ready.pop(0)
        self._after = event.seq
        self._over = self._of_job and event.ended
        return event

    async def _listen(self) -> None:
        if self._stream is None:
            self._stream = await self._open()
            self._parser = Parser()
            if self._stream.status == 204:  # it has ended, and we know all of it
                self._over = True
                return
        data = await self._stream.chunk(SILENCE)
        if not data:
            raise Lost("the stream of events has ended", sent=False)
        self._tries = 0
        self._silent_since = self._caller.wire.now()
        self._ready += self._parser.feed(data)

    async def _open(self) -> Stream:
        headers = {"Accept": "text/event-stream"}
        if self._after is not None:
            headers["Last-Event-ID"] = str(self._after)
        return await self._caller.open(Request("GET", self._path, headers=headers), repeat=True)

    async def _again(self, lost: Lost) -> None:
        if self._tries and self._caller.wire.now() - self._silent_since > self._caller.timeout:
            raise self._caller.failure(lost, maybe_done=False) from lost
        self._tries += 1
        await self._caller.wire.sleep(pause(self._tries))

    async def _hang_up(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()


def _event(fields: dict[bytes, bytes]) -> Event:
    try:
        said: dict[str, Any] = msgspec.json.decode(fields[b"data"])
        known = {"seq": int(fields[b"id"]), "name": fields[b"event"].decode()}
        return msgspec.convert(said | known, Event)
    except (msgspec.MsgspecError, KeyError, ValueError, TypeError) as error:
        raise ServerFailed(200, Problem(detail=f"an event cannot be read: {error}")) from None
