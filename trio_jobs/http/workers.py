"""Who works: the worker of this process, and those elsewhere that have asked for work lately."""

from collections.abc import Awaitable, Callable
from typing import Annotated, ClassVar

import msgspec

from ..clock import to_rfc3339
from ..errors import InvalidInput, NotFound
from ..service import Scope, Service
from ..storage.remote import Directive, RemoteWorker
from .answer import Answer
from .bodies import JSON, json_body
from .call import Call, Route
from .problems import UnsupportedMediaType
from .words import JobId, Name, Time, says
from .work_words import SAMPLE, WorkerName

MOST_NAMES = 1_000


class LimitView(msgspec.Struct):
    """How many jobs of a queue may run at a time, and do; `*` is all that are not named."""

    queue: str
    slots: int
    running: int


class WorkerView(msgspec.Struct):
    """What it takes, and how much: `slots` jobs at a time, shared out by `queues`."""

    types: list[Name]
    slots: int
    running: int
    queues: list[LimitView]


class RemoteWorkerView(msgspec.Struct):
    """A worker that asks over HTTP: what it asked for last (`queues` null: any), the jobs that it
    has, when it was heard last, and what it is told."""

    name: WorkerName
    types: list[Name]
    queues: list[Name] | None
    jobs: list[JobId]
    seen_at: Time
    directive: Directive


class WorkersView(msgspec.Struct):
    """`workers` are those of this process, `remote` those that ask any process over HTTP."""

    workers: list[WorkerView]
    remote: list[RemoteWorkerView]


class NamesRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which workers."""

    EXAMPLE: ClassVar = {"workers": [SAMPLE]}

    workers: Annotated[list[WorkerName], says(minItems=1, maxItems=MOST_NAMES)]


class ToldView(msgspec.Struct):
    """What these are told from now on, with each answer."""

    workers: list[WorkerName]
    directive: Directive


_names = msgspec.json.Decoder(NamesRequest)


async def index(call: Call) -> Answer:
    """List the workers: that of this process (none with --no-worker), and those elsewhere.

    Those elsewhere are listed for five minutes after they were heard last.
    """
    call.grant.demand_all("Workers")
    remote = await remote_workers(call.service)
    return Answer(200, msgspec.json.encode(WorkersView(_own(call.service), remote)))


def _own(service: Service) -> list[WorkerView]:
    hands = service.hands()
    if hands is None or not hands.limits:
        return []
    queues = [LimitView(name, slots, hands.free(name)[1]) for name, slots in hands.limits.items()]
    return [WorkerView(sorted(hands.types), hands.slots, hands.busy, queues)]


async def remote_workers(service: Service) -> list[RemoteWorkerView]:
    """Those elsewhere."""
    return [_view(worker, jobs) for worker, jobs in await service.working.workers()]


def _view(worker: RemoteWorker, jobs: list[str]) -> RemoteWorkerView:
    return RemoteWorkerView(
        worker.name,
        worker.types,
        worker.queues,
        jobs,
        to_rfc3339(worker.seen_at),
        worker.directive,
    )


async def _direct(directive: Directive, call: Call) -> Answer:
    call.grant.demand_all("Workers")
    names = (await json_body(call, _names)).workers
    if not 1 <= len(names) <= MOST_NAMES:
        raise InvalidInput(f"workers has 1 to {MOST_NAMES:,} names", "/workers")
    told = await call.service.working.direct(list(dict.fromkeys(names)), directive)
    view = ToldView([worker.name for worker in told], directive)
    return Answer(200, msgspec.json.encode(view))


async def quiet(call: Call) -> Answer:
    """Let workers elsewhere claim no more.

    They get no jobs from now on, end what they have, and stay.
    """
    return await _direct(Directive.QUIET, call)


async def stop(call: Call) -> Answer:
    """Ask workers elsewhere to leave.

    They get no jobs from now on, and are told to end what they have and exit.
    """
    return await _direct(Directive.STOP, call)


async def run(call: Call) -> Answer:
    """Let workers elsewhere go on, whatever they were told before."""
    return await _direct(Directive.RUN, call)


def _route(directive: Directive, call: Callable[[Call], Awaitable[Answer]]) -> Route:
    return Route(
        method="POST",
        path=f"/workers/{directive}",
        call=call,
        scope=Scope.QUEUES,
        takes={JSON: NamesRequest},
        gives={200: ToldView},
        refuses=(NotFound, InvalidInput, UnsupportedMediaType),
    )


ROUTES = (
    Route(method="GET", path="/workers", call=index, scope=Scope.READ, gives={200: WorkersView}),
    _route(Directive.QUIET, quiet),
    _route(Directive.STOP, stop),
    _route(Directive.RUN, run),
)
