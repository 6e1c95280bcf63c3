"""The queue inside somebody else's program: store, upkeep and workers, without HTTP or signals."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ..config import Settings
from ..registry import Registry
from ..runtime import Parts
from ..service import Service


async def _run(
    parts: Parts, stop: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Until `stop`; shielded, since what was begun has to be settled."""
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(parts.store.run)
            for run in parts.upon_store:
                await nursery.start(run)
            task_status.started()
            await stop.wait()
            await parts.drain()
            parts.store.close()
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def running(
    settings: Settings, registry: Registry, *, workers: bool
) -> AsyncIterator[Service]:
    """The service, while its parts run.

    At the end running jobs have `shutdown_grace` seconds; when the block was cancelled or has
    failed, they are cancelled at once. Those that do not end go back to their queue, uncharged.
    A single error, of the block or of a part, comes out as it is, in no group.
    """
    try:
        async with _running(settings, registry, workers=workers) as service:
            yield service
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            [error] = error.exceptions
        raise error from error.__cause__


@asynccontextmanager
async def _running(
    settings: Settings, registry: Registry, *, workers: bool
) -> AsyncIterator[Service]:
    parts = Parts(settings, registry, workers=workers)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(_run, parts, stop)
        try:
            yield parts.service
        except BaseException:
            parts.hurry.set()
            raise
        finally:
            stop.set()
