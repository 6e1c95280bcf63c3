"""Queues: how deep they are, and whether they go on."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec

from ..errors import InvalidInput
from ..service import Scope
from ..storage.watching import QueueInfo
from . import views
from .answer import Answer
from .bulk import PROGRESS, carry_out
from .call import Call, Route
from .streams import Streamed


class QueuesView(msgspec.Struct):
    queues: list[views.QueueView]


async def index(call: Call) -> Answer:
    """List the queues that have jobs or are paused, by name."""
    now = call.service.now()
    shown = [views.queue_view(queue, now) for queue in await call.service.queues()]
    return Answer(200, msgspec.json.encode(QueuesView(shown)))


async def read(call: Call) -> Answer:
    """Show one queue."""
    return _shown(call, await call.service.queue(call.name))


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
    return Answer(200, msgspec.json.encode(views.queue_view(queue, call.service.now())))


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
    _steer("pause", pause),
    _steer("resume", resume),
    _steer("purge", purge, PROGRESS),
)
