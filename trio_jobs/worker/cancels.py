"""Stops the jobs that somebody, in whatever process, has asked to be stopped."""

import logging

import trio

from ..errors import Unavailable
from ..job import Reason
from ..storage.work import WorkStore
from .running import Running

log = logging.getLogger(__name__)

AGAIN = 1.0  # seconds between tries while the store is not available
LOOK = 0.25  # other processes ring no bell here


class Cancels:
    """Asks only while something runs."""

    def __init__(self, store: WorkStore, running: Running) -> None:
        self._store = store
        self._running = running

    async def run(self) -> None:
        while True:
            await self._running.wait_for_some()
            await self._store.cancels_bell.wait(LOOK)
            if not self._running:
                continue
            try:
                leases = await self._store.cancels(self._store.identity)
            except Unavailable as error:
                log.warning("cannot look for cancelled jobs right now: %s", error)
                await trio.sleep(AGAIN)
                continue
            for lease in leases:
                if (attempt := self._running.attempt(lease.token)) is not None:
                    attempt.stop(Reason.CANCELLED)
