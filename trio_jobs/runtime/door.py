"""The HTTP side of a process."""

import logging
from functools import partial

import trio

from ..config import Settings
from ..http import serve
from ..service import Service

log = logging.getLogger(__name__)

RESTART = 1.0  # seconds
CLEANUP = 1.0  # … that connections have to end


class Door:
    """HTTP, started again when it fails: jobs outlive it."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._serve = partial(serve, service, settings, shutdown_trigger=self._wait_for_end)
        self._end = trio.Event()
        self._ended = trio.Event()
        self._scope = trio.CancelScope()

    async def run(self, *, task_status: trio.TaskStatus[list[str]]) -> None:
        """Until it is closed. Started, it gives its URLs. Only its first start may fail."""
        announced = False
        with self._scope:
            while not self._end.is_set():
                try:
                    async with trio.open_nursery() as nursery:
                        addresses = await nursery.start(self._serve)
                        if not announced:
                            task_status.started(addresses)
                        announced = True
                except Exception:
                    if not announced:
                        raise
                    log.exception("the HTTP side failed and is started again")
                    await trio.sleep(RESTART)
        self._ended.set()

    async def close(self, end_of_grace: float, hurry: trio.Event) -> None:
        """Lets connections end until then (in trio's time), or shortly after `hurry`."""
        self._end.set()
        self._scope.deadline = max(end_of_grace, trio.current_time() + CLEANUP)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hurried, hurry)
            await self._ended.wait()
            nursery.cancel_scope.cancel()

    async def _hurried(self, hurry: trio.Event) -> None:
        await hurry.wait()
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + CLEANUP)

    async def _wait_for_end(self) -> None:
        await self._end.wait()
