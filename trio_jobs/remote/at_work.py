"""A worker here for a service there."""

from dataclasses import replace
from functools import partial

import trio

from ..client.place import Place
from ..config import Settings
from ..job import Reason
from ..registry import Registry
from ..service.remote import MIN_LEASE
from ..worker import Worker
from .store import RemoteStore

CLEANUP = 1.0  # seconds for cancelled jobs to be handed back, and again for those that ignore it


async def work_at(
    place: Place,
    registry: Registry,
    settings: Settings,
    *,
    stop: trio.Event,
    hurry: trio.Event | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Runs jobs of the service at `place`, until `stop` is set or the service says so.

    It starts with its name. Running jobs then have `shutdown_grace` seconds; those that are left
    are cancelled, and go back to their queue, uncharged; once `hurry` is set, all are. Raises
    Denied (in a group) when the service does not let it in.
    """

    def timeout_of(type_: str) -> float | None:
        return (registry[type_].timeout if type_ in registry else None) or settings.job_timeout

    settings = replace(settings, lease=max(settings.lease, MIN_LEASE))
    store = RemoteStore(place, timeout_of=timeout_of)
    worker = Worker(store, registry, settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        await nursery.start(worker.run)
        task_status.started(store.identity)
        await _either(stop, store.leave)
        worker.quiet()
        with trio.move_on_after(settings.shutdown_grace):
            await _either(worker.drained, *([] if hurry is None else [hurry]))
        for end_all in (partial(worker.stop_all, Reason.SHUTDOWN), worker.abandon_all):
            if not worker.drained.is_set():
                end_all()
                with trio.move_on_after(CLEANUP):
                    await worker.drained.wait()
        with trio.move_on_after(settings.cleanup_grace):
            await worker.closed.wait()
        nursery.cancel_scope.cancel()


async def _either(*events: trio.Event) -> None:
    async with trio.open_nursery() as nursery:

        async def wait(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        for event in events:
            nursery.start_soon(wait, event)
