"""One process from start to exit.

Up: store (opened, migrated, rescued) → upkeep → watch → workers → HTTP → ready.
Down, the ladder: the first signal stops claiming, ends long polls and event streams, and lets
running jobs end, up to the grace; then, or at the second signal, they are cancelled and handed
back without charge; HTTP ends; the store flushes and checkpoints; exit 0. The third exits at once.
"""

import logging
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from ..config import Settings
from ..errors import ConfigError, StoreBroken, TrioJobsError
from ..http import serve
from ..job import Reason
from ..maintenance import Maintenance
from ..metrics import Metrics
from ..registry import Registry
from ..service import OTHERS, Hands, Service
from ..storage import open_store
from ..worker import Worker
from .lag import watch_lag
from .signals import Signals
from .tokens import demand_tokens

log = logging.getLogger(__name__)

CLEANUP = 1.0  # seconds that cancelled jobs, then connections, have within the ladder
WATCHDOG = 10.0  # … and after which a thread ends the process
RESTART = 1.0
EXIT_BROKEN = 70  # EX_SOFTWARE: the store failed; nothing more is acknowledged


class Runtime:
    """`run` returns when everything has been stopped in order.

    `on_ready(addresses)` is called once, when the service accepts jobs and works on them.
    `service` is for those who enqueue in this process.
    """

    def __init__(
        self, settings: Settings, registry: Registry, *, on_ready: Callable[[list[str]], None]
    ) -> None:
        self._settings = settings
        self._on_ready = on_ready
        queues = settings.queue_limits.keys() - {OTHERS}
        self._metrics = metrics = Metrics(registry.types, queues | {"default"})
        self._store = open_store(
            settings.database,
            durable=settings.durability == "full",
            shared=settings.shared,
            metrics=metrics,
        )
        self.service = Service(self._store, registry, settings, hands=self._hands, metrics=metrics)
        self._worker = (
            Worker(self._store, registry, settings, metrics=metrics) if settings.worker else None
        )
        self._maintenance = Maintenance(self._store, settings, metrics=metrics)
        self._ready = False
        self._close_http = trio.Event()
        self._http = trio.CancelScope()
        self._http_ended = trio.Event()
        self._signals = Signals(settings.shutdown_grace + WATCHDOG)

    async def run(self) -> None:
        """Raises StoreError or OSError when it cannot start, StoreBroken when the store fails."""
        with self._signals.handled():
            async with trio.open_nursery() as nursery:
                store = await nursery.start(self._run_store)
                await demand_tokens(self.service, self._settings)
                await nursery.start(self._part, self._maintenance.run)
                await nursery.start(self._part, self.service.watch.run)
                await nursery.start(self._part, self.service.working.run)
                if self._worker is not None:
                    await nursery.start(self._part, self._worker.run)
                nursery.start_soon(watch_lag, self._metrics)
                self._on_ready(await nursery.start(self._serve))
                self._ready = True
                await self._signals.stop.wait()
                await self._step_down()
                self._store.close()
                await store.wait()
                if self._worker is not None and self._worker.stuck:
                    # A handler that ignores its cancellation would keep the nursery open for
                    # ever. All is settled and on disk: leave without it.
                    logging.shutdown()
                    sys.stdout.flush()
                    sys.stderr.flush()
                    os._exit(0)
                nursery.cancel_scope.cancel()

    async def _part(
        self, run: Callable[..., Awaitable[None]], *, task_status: trio.TaskStatus[None]
    ) -> None:
        """Runs a part that the process cannot do without.

        When it fails, the root nursery is cancelled and waits for handlers in threads, which may
        never return; so the clock starts here.
        """
        try:
            await run(task_status=task_status)
        except Exception as error:
            found = reasons(error)
            if self._ready:
                log.critical("stopping: %s", found[0] if found else repr(error))
            self._signals.end_after(self._settings.cleanup_grace, exit_code(found))
            raise

    async def _run_store(self, *, task_status: trio.TaskStatus[trio.Event]) -> None:
        ended = trio.Event()
        async with trio.open_nursery() as nursery:
            await nursery.start(self._part, self._store.run)
            task_status.started(ended)
        ended.set()

    async def _serve(self, *, task_status: trio.TaskStatus[list[str]]) -> None:
        """HTTP, restarted when it fails: jobs outlive it. Only its first start may fail."""
        start = partial(
            serve,
            self.service,
            self._settings,
            shutdown_trigger=self._close_http.wait,
        )
        announced = False
        with self._http:
            while not self._close_http.is_set():
                try:
                    async with trio.open_nursery() as nursery:
                        addresses = await nursery.start(start)
                        if not announced:
                            task_status.started(addresses)
                        announced = True
                except Exception:
                    if not announced:
                        raise
                    log.exception("the HTTP side failed and is started again")
                    await trio.sleep(RESTART)
        self._http_ended.set()

    def _hands(self) -> Hands:
        return Hands() if self._worker is None else self._worker.hands()

    # ── the way down ──────────────────────────────────────────────────────────────────────────

    async def _step_down(self) -> None:
        end_of_grace = trio.current_time() + self._settings.shutdown_grace
        self.service.drain()
        if self._worker is not None:
            await self._drain(self._worker, end_of_grace)
        self._close_http.set()
        self._http.deadline = max(end_of_grace, trio.current_time() + CLEANUP)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hurry_http)
            await self._http_ended.wait()
            nursery.cancel_scope.cancel()

    async def _drain(self, worker: Worker, end_of_grace: float) -> None:
        """Until what it does has ended, one way or the other, and what its handlers share."""
        await self._end_jobs(worker, end_of_grace)
        if not worker.stuck:
            with trio.move_on_after(self._settings.cleanup_grace):
                await worker.closed.wait()

    async def _end_jobs(self, worker: Worker, end_of_grace: float) -> None:
        worker.quiet()
        if worker.running:
            log.warning(
                "stopping: %d jobs are running and have %g s to end (again: cancel them now)",
                worker.running,
                self._settings.shutdown_grace,
            )
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = end_of_grace
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

    async def _hurry_http(self) -> None:
        await self._signals.hurry.wait()
        self._http.deadline = min(self._http.deadline, trio.current_time() + CLEANUP)

    async def _until_hurry(self, scope: trio.CancelScope) -> None:
        await self._signals.hurry.wait()
        scope.cancel()


async def _report_running(worker: Worker) -> None:
    while True:
        await trio.sleep(5)
        log.warning("still running: %d jobs", worker.running)


def reasons(error: BaseException) -> list[TrioJobsError | OSError]:
    """The errors that a person can do something about, the gravest first."""
    if isinstance(error, BaseExceptionGroup):
        found = [reason for inner in error.exceptions for reason in reasons(inner)]
        return sorted(found, key=lambda reason: not isinstance(reason, StoreBroken))
    return [error] if isinstance(error, (TrioJobsError, OSError)) else []


def exit_code(found: list[TrioJobsError | OSError]) -> int:
    """What the process exits with for these reasons."""
    if any(isinstance(reason, StoreBroken) for reason in found):
        return EXIT_BROKEN
    return 2 if any(isinstance(reason, ConfigError) for reason in found[:1]) else 1
