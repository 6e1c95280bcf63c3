"""Verdicts on their way to the store, all there are at a time."""

import logging
from collections.abc import Callable

import trio

from .. import clock
from ..errors import Unavailable
from ..logs import about_id
from ..storage.base import Store
from ..storage.doorbell import Doorbell
from ..storage.records import Report, Settlement

log = logging.getLogger(__name__)

AGAIN = 1.0  # seconds between tries while the store is not available


class Settler:
    """`run` until there is nothing left and `more()` says that nothing will come.

    `settled(settlement)` is called for each when the store has answered, accepted or not; until
    then its lease is to be kept alive. Ring `bell` when `more()` has changed.
    """

    def __init__(
        self,
        store: Store,
        *,
        now: clock.Now,
        settled: Callable[[Settlement], None],
        more: Callable[[], bool],
    ) -> None:
        self._store = store
        self._now = now
        self._settled = settled
        self._more = more
        self._finished: list[Settlement] = []
        self._last_words: list[Report] = []
        self.bell = Doorbell()

    def add(self, settlement: Settlement, last_words: Report | None) -> None:
        """What an attempt had still to say goes with its verdict."""
        self._finished.append(settlement)
        if last_words is not None:
            self._last_words.append(last_words)
        self.bell.ring()

    def add_late(self, words: Report) -> None:
        """Older than its last words, and written before them; too late for a settled one."""
        self._last_words.insert(0, words)

    async def run(self) -> None:
        while self._finished or self._more():
            await self.bell.wait()
            while self._finished:
                batch, self._finished = self._finished, []
                words, self._last_words = self._last_words, []
                try:
                    accepted = await self._store.settle(batch, self._now(), words)
                except Unavailable as error:
                    log.warning("cannot settle %d jobs right now: %s", len(batch), error)
                    self._finished = batch + self._finished
                    self._last_words += words  # behind what came late
                    await trio.sleep(AGAIN)
                    continue
                for settlement in batch:
                    self._settled(settlement)
                    if settlement.id not in accepted:
                        log.warning(
                            "job %s ended as %s, too late: its lease was lost",
                            settlement.id,
                            settlement.state,
                            extra=about_id(settlement.id),
                        )
