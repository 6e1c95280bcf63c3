"""The HTTP side: an ASGI app over the service, and the edge that faces the world."""

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from ..config import Settings
from ..service import Service
from . import edge
from .app import create_app
from .jobs import body_limit

__all__ = ["create_app", "serve"]


async def serve(
    service: Service,
    settings: Settings,
    *,
    shutdown_trigger: Callable[[], Awaitable[object]],
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves the API until `shutdown_trigger` returns; see `edge.serve`."""
    await edge.serve(
        create_app(service, settings),
        settings,
        shutdown_trigger=shutdown_trigger,
        body_limit=partial(body_limit, settings),
        task_status=task_status,
    )
