"""One process from start to exit.

Up: store (opened, migrated, rescued) → upkeep → watch → workers → HTTP, if wanted → ready.
Down, the ladder: the first signal stops claiming, ends long polls and event streams, and lets
running jobs end, up to the grace; then, or at the second signal, they are cancelled and handed
back without charge; HTTP ends; the store flushes and checkpoints; exit 0. The third exits at once.
"""

import logging
import os
import sys
from collections.abc import Awaitable, Callable

import trio

from ..config import Settings
from ..errors import ConfigError, StoreBroken, TrioJobsError
from ..registry import Registry
from .lag import watch_lag
from .parts import Parts
from .signals import Signals
from .tokens import demand_tokens

log = logging.getLogger(__name__)

WATCHDOG = 10.0  # seconds after the grace; then a thread ends the process
EXIT_BROKEN = 70  # EX_SOFTWARE: the store failed; nothing more is acknowledged


class Runtime:
    """`run` returns when everything has been stopped in order.

    `on_ready(addresses)` is called once, when the service accepts jobs and works on them; without
    `http` there are no addresses. `service` is for those who enqueue in this process.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        *,
        on_ready: Callable[[list[str]], None],
        http: bool = True,
    ) -> None:
        self._settings = settings
        self._on_ready = on_ready
        self._parts = Parts(settings, registry, workers=settings.worker)
        self.service = self._parts.service
        self._door = None
        if http:
            from .door import Door  # quart and hypercorn, which a worker can do without

            self._door = Door(self.service, settings)
        self._ready = False
        self._signals = Signals(settings.shutdown_grace + WATCHDOG, hurry=self._parts.hurry)

    async def run(self) -> None:
        """Raises StoreError or OSError when it cannot start, StoreBroken when the store fails."""
        with self._signals.handled():
            async with trio.open_nursery() as nursery:
                store = await nursery.start(self._run_store)
                if self._door is not None:
                    await demand_tokens(self.service, self._settings)
                for run in self._parts.upon_store:
                    await nursery.start(self._part, run)
                nursery.start_soon(watch_lag, self._parts.metrics)
                addresses = [] if self._door is None else await nursery.start(self._door.run)
                self._on_ready(addresses)
                self._ready = True
                await self._signals.stop.wait()
                await self._step_down()
                self._parts.store.close()
                await store.wait()
                if self._parts.worker is not None and self._parts.worker.stuck:
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
            await nursery.start(self._part, self._parts.store.run)
            task_status.started(ended)
        ended.set()

    async def _step_down(self) -> None:
        grace = self._settings.shutdown_grace
        end_of_grace = trio.current_time() + grace
        worker = self._parts.worker
        if worker is not None and worker.running:
            log.warning(
                "stopping: %d jobs are running and have %g s to end (again: cancel them now)",
                worker.running,
                grace,
            )
        await self._parts.drain()
        if self._door is not None:
            await self._door.close(end_of_grace, self._signals.hurry)


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
