"""The queues resource."""

from functools import partial

import msgspec

from ..service import Service
from ..storage.watching import QueueInfo
from . import views
from .answer import Answer
from .bulk import carry_out
from .streams import Streamed


async def index(service: Service) -> Answer:
    """GET /queues: all that have jobs or are paused, by name."""
    now = service.now()
    shown = [views.queue_view(queue, now) for queue in await service.queues()]
    return Answer(200, msgspec.json.encode({"queues": shown}))


async def read(service: Service, name: str) -> Answer:
    """GET /queues/{name}."""
    return _shown(service, await service.queue(name))


async def pause(service: Service, name: str) -> Answer:
    """POST /queues/{name}/pause."""
    return _shown(service, await service.pause(name))


async def resume(service: Service, name: str) -> Answer:
    """POST /queues/{name}/resume."""
    return _shown(service, await service.resume(name))


async def purge(service: Service, name: str, *, accept: str, request_id: str) -> Answer | Streamed:
    """POST /queues/{name}/purge: cancels all that waits in it."""
    return await carry_out(partial(service.purge, name), accept, request_id)


def _shown(service: Service, queue: QueueInfo) -> Answer:
    return Answer(200, msgspec.json.encode(views.queue_view(queue, service.now())))
