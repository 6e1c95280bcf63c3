"""Queues: how deep they are, and whether they go on."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from ..errors import InvalidInput
from ..service import Scope
from ..storage.watching import QueueInfo
from . import views
from .answer import Answer
from .bodies import JSON, json_body
from .bulk import PROGRESS, carry_out
from .call import Call, Route
from .problems import UnsupportedMediaType
from .streams import Streamed
from .words import QueueLimit as Limit


class QueuesView(msgspec.Struct):
    queues: list[views.QueueView]


async def index(call: Call) -> Answer:
    """List the queues that have jobs or are paused, by name."""
    shown = [views.queue_view(queue, call.service) for queue in await call.service.queues()]
    return Answer(200, msgspec.json.encode(QueuesView(shown)))


async def read(call: Call) -> Answer:
    """Show one queue."""
    return _shown(call, await call.service.queue(call.name))


class QueuePatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays. `limit` null takes it away."""

    EXAMPLE: ClassVar = {"limit": 4}

    paused: bool | UnsetType = UNSET
    limit: Limit | UnsetType | None = UNSET


_patch = msgspec.json.Decoder(QueuePatch)


async def amend(call: Call) -> Answer:
    """Pause a queue or let it go on, and limit how many of its jobs run at a time.

    The limit holds for all processes together; what runs already goes on.
    """
    changes = await json_body(call, _patch)
    if changes.limit is not UNSET:
        await call.service.limit(call.name, changes.limit)
    if changes.paused is not UNSET:
        steer = call.service.pause if changes.paused else call.service.resume
        await steer(call.name)
    return await read(call)


async def pause(call: Call) -> Answer:
    """Pause a queue: it takes jobs, but none starts, in any process."""
    return _shown(call, await call.service.pause(call.name))


async def resume(call: Call) -> Answer:
    """Let a paused queue go on."""
    return _shown(call, await call.service.resume(call.name))


async def purge(call: Call) -> Answer | Streamed:
    """Cancel all that waits in a queue; what runs goes on."""
    return await carry_out(call, partial(call.service.purge, call.name))


def _shown(call: Call, queue: QueueInfo) -> Answer:
    return Answer(200, msgspec.json.encode(views.queue_view(queue, call.service)))


def _steer(
    verb: str, call: Callable[[Call], Awaitable[Answer | Streamed]], gives: Any = views.QueueView
) -> Route:
    return Route(
        method="POST",
        path=f"/queues/{{name}}/{verb}",
        call=call,
        scope=Scope.QUEUES,
        gives={200: gives},
        refuses=(InvalidInput,),
    )


ROUTES = (
    Route(method="GET", path="/queues", call=index, scope=Scope.READ, gives={200: QueuesView}),
    Route(
        method="GET",
        path="/queues/{name}",
        call=read,
        scope=Scope.READ,
        gives={200: views.QueueView},
        refuses=(InvalidInput,),
    ),
    Route(
        method="PATCH",
        path="/queues/{name}",
        call=amend,
        scope=Scope.QUEUES,
        takes={JSON: QueuePatch},
        gives={200: views.QueueView},
        refuses=(InvalidInput, UnsupportedMediaType),
    ),
    _steer("pause", pause),
    _steer("resume", resume),
    _steer("purge", purge, PROGRESS),
)
