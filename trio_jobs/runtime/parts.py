"""What every process has that uses a queue: store, upkeep, perhaps workers. No HTTP, no signals."""

import logging
from collections.abc import Awaitable, Callable

import trio

from ..config import Settings
from ..job import Reason
from ..maintenance import Maintenance
from ..metrics import Metrics
from ..registry import Registry
from ..service import OTHERS, Callbacks, Hands, Service
from ..storage import open_store
from ..worker import Worker

log = logging.getLogger(__name__)

CLEANUP = 1.0  # seconds for cancelled jobs to be handed back, and again for those that ignore it


class Parts:
    """Made, not running: whoever owns them runs `store`, then `upon_store`, and at the end
    `drain`s before closing the store. Once `hurry` is set, the drain waits for no job."""

    def __init__(self, settings: Settings, registry: Registry, *, workers: bool) -> None:
        self._settings = settings
        queues = settings.queue_limits.keys() - {OTHERS}
        self.metrics = metrics = Metrics(registry.types, queues | {"default"})
        self.store = open_store(
            settings.database,
            durable=settings.durability == "full",
            shared=settings.shared,
            callback=Callbacks(settings),
            metrics=metrics,
        )
        now = self.store.now
        self.worker = (
            Worker(self.store, registry, settings, now=now, metrics=metrics) if workers else None
        )
        self.maintenance = Maintenance(self.store, settings, now=now, metrics=metrics)
        self.service = Service(
            self.store, registry, settings, now=now, hands=self._hands, metrics=metrics
        )
        self.hurry = trio.Event()

    @property
    def upon_store(self) -> list[Callable[..., Awaitable[None]]]:
        """What needs the open store, in the order to start it in."""
        workers = [] if self.worker is None else [self.worker.run]
        return [self.maintenance.run, self.service.watch.run, self.service.working.run, *workers]

    def _hands(self) -> Hands:
        return Hands() if self.worker is None else self.worker.hands()

    # ── the way down ──────────────────────────────────────────────────────────────────────────

    async def drain(self) -> None:
        """Until what the worker does has ended, one way or the other, and what its handlers share.

        Running jobs have `shutdown_grace` seconds, or until `hurry`; then they are cancelled and
        handed back, uncharged.
        """
        self.service.drain()
        if self.worker is None:
            return
        await self._end_jobs(self.worker)
        if not self.worker.stuck:
            with trio.move_on_after(self._settings.cleanup_grace):
                await self.worker.closed.wait()

    async def _end_jobs(self, worker: Worker) -> None:
        worker.quiet()
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + self._settings.shutdown_grace
            nursery.start_soon(self._until_hurry, nursery.cancel_scope)
            nursery.start_soon(_report_running, worker)
            await worker.drained.wait()
            nursery.cancel_scope.cancel()
        if not worker.drained.is_set():
            log.warning("cancelling %d jobs; they go back to their queue", worker.running)
            worker.stop_all(Reason.SHUTDOWN)
            with trio.move_on_after(CLEANUP):
                await worker.drained.wait()
            worker.abandon_all()
            with trio.move_on_after(CLEANUP):
                await worker.drained.wait()
            if not worker.drained.is_set():
                log.error("the store takes no verdicts; what ran here is rescued at the next start")

    async def _until_hurry(self, scope: trio.CancelScope) -> None:
        await self.hurry.wait()
        scope.cancel()


async def _report_running(worker: Worker) -> None:
    while True:
        await trio.sleep(5)
        log.warning("still running: %d jobs", worker.running)
