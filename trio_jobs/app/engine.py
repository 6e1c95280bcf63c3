"""The queue inside somebody else's program: store, upkeep and workers, without HTTP or signals."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ..config import Settings
from ..job import Reason
from ..maintenance import Maintenance
from ..metrics import Metrics
from ..registry import Registry
from ..service import Hands, Service
from ..storage import open_store
from ..worker import Worker

CLEANUP = 1.0  # seconds for cancelled jobs to be handed back, and again for those that ignore it


class _Engine:
    def __init__(self, settings: Settings, registry: Registry, *, workers: bool) -> None:
        self._settings = settings
        metrics = Metrics(registry.types)
        self._store = open_store(
            settings.database,
            durable=settings.durability == "full",
            shared=settings.shared,
            metrics=metrics,
        )
        self._worker = Worker(self._store, registry, settings, metrics=metrics) if workers else None
        self._maintenance = Maintenance(self._store, settings, metrics=metrics)
        self.service = Service(self._store, registry, settings, hands=self._hands, metrics=metrics)
        self.stop = trio.Event()
        self.hurry = False

    def _hands(self) -> Hands:
        return Hands() if self._worker is None else self._worker.hands()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until `stop`; shielded, since what was begun has to be settled."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                await nursery.start(self._store.run)
                await nursery.start(self._maintenance.run)
                await nursery.start(self.service.watch.run)
                if self._worker is not None:
                    await nursery.start(self._worker.run)
                task_status.started()
                await self.stop.wait()
                self.service.drain()
                if self._worker is not None:
                    await self._drain(self._worker)
                self._store.close()
                nursery.cancel_scope.cancel()

    async def _drain(self, worker: Worker) -> None:
        worker.quiet()
        if not self.hurry:
            with trio.move_on_after(self._settings.shutdown_grace):
                await worker.drained.wait()
        if not worker.drained.is_set():
            worker.stop_all(Reason.SHUTDOWN)
            with trio.move_on_after(CLEANUP):
                await worker.drained.wait()
            worker.abandon_all()
            with trio.move_on_after(CLEANUP):
                await worker.drained.wait()
        with trio.move_on_after(self._settings.cleanup_grace):
            await worker.closed.wait()


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
    engine = _Engine(settings, registry, workers=workers)
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        try:
            yield engine.service
        except BaseException:
            engine.hurry = True
            raise
        finally:
            engine.stop.set()
