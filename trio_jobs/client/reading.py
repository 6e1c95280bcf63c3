"""The calls that look at jobs, and at the service."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import inf
from typing import TypedDict, Unpack
from urllib.parse import quote

import msgspec

from .caller import SHORTEST
from .errors import JobFailed, TimedOut
from .events import Events
from .house import JobType, Queue, Worker
from .job import Job
from .listing import Listing, filters
from .making import Making, decoded
from .wire import Answer, Request

POLL = 25.0  # seconds that one request of `wait` takes
LATE = 2.0  # seconds that its answer may need on top


class Filter(TypedDict, total=False):
    """Which jobs. Several words mean "or"; `error` is part of the last error's message, `input`
    the values of members by their path, e.g. `{"user.id": 7}`.
    """

    status: str | Sequence[str]
    state: str | Sequence[str]
    type: str | Sequence[str]
    queue: str | Sequence[str]
    tag: str | Sequence[str]
    key: str | Sequence[str]
    created_after: datetime | str
    created_before: datetime | str
    error: str
    input: Mapping[str, str | float | bool]


class _Queues(msgspec.Struct):
    queues: list[Queue]


class _Types(msgspec.Struct):
    types: list[JobType]


class _Workers(msgspec.Struct):
    workers: list[Worker]


class Reading(Making):
    """All of them are repeated until they succeed or the timeout is over; cancelled, they did
    nothing.
    """

    async def get(self, id: str) -> Job:
        """The job as it is now. Raises NotFound."""
        return decoded(await self._read(path(id)), Job)

    async def result(self, id: str) -> bytes:
        """The result as it was stored. Raises NotFound, also while there is none."""
        return (await self._read(path(id, "result"))).body

    async def wait(self, id: str, timeout: float | None = None, *, check: bool = True) -> Job:
        """The job when it has ended: done, or, with `check=False`, failed or cancelled.

        Raises JobFailed (it failed or was cancelled), TimedOut (after `timeout` seconds, and at
        most two more; None waits for ever), NotFound (also when it is removed meanwhile).
        """
        wire = self._caller.wire
        give_up = wire.now() + (inf if timeout is None else timeout)
        while True:
            began = wire.now()
            seconds = max(0.0, min(POLL, give_up - began))
            answer = await self._caller.call(
                Request("GET", path(id), {"wait": f"{seconds:.3f}"}),
                repeat=True,
                give_up=min(give_up + LATE, self._caller.give_up(seconds)),
                wait=seconds,
            )
            job = decoded(answer, Job)
            if job.ended:
                if check and not job.succeeded:
                    raise JobFailed(job)
                return job
            if wire.now() >= give_up:
                raise TimedOut(f"job {id} is still {job.state} after {timeout} s")
            if wire.now() - began < seconds:  # the service stops, and keeps nobody waiting
                await wire.sleep(SHORTEST)

    def list(self, *, include: Sequence[str] = (), **filter: Unpack[Filter]) -> Listing:
        """Iterates over all jobs that match, newest first, page by page as they are looked at.

        `include` names the bodies to show: input, output, payload, result. In lists they have their
        secrets hidden. Jobs that are made meanwhile are not among them.
        """
        return Listing(self._caller, filters(filter, include))

    def events(self, id: str | None = None, after: int | None = None) -> Events:
        """Iterates over what happens, to one job until it ends, or to all jobs for ever.

        One job's events begin with how it stands; those of all with what comes next. With `after`,
        with what came after that event (`Event.seq`). A broken stream is taken up again where it
        was. To leave early, use `async with jobs.events() as events:`, which hangs up at its end.
        Raises NotFound, Unreachable.
        """
        if id is None:
            return Events(self._caller, "/events", after, of_job=False)
        return Events(self._caller, path(id, "events"), after, of_job=True)

    async def queues(self) -> Sequence[Queue]:
        """The queues that have jobs or are paused, by name."""
        return decoded(await self._read("/queues"), _Queues).queues

    async def types(self) -> Sequence[JobType]:
        """The types of jobs that the service runs."""
        return decoded(await self._read("/types"), _Types).types

    async def workers(self) -> Sequence[Worker]:
        """The workers of the service's process."""
        return decoded(await self._read("/workers"), _Workers).workers

    async def _read(self, path_: str) -> Answer:
        return await self._caller.call(Request("GET", path_), repeat=True)


def path(id: str, verb: str = "", root: str = "jobs") -> str:
    """`/jobs/{id}/{verb}`; an id cannot lead elsewhere."""
    return "/".join(["", root, quote(id, safe=""), *([verb] if verb else [])])
