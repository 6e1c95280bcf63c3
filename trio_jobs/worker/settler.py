"""Verdicts on their way to the store, all there are at a time."""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence, Set

import trio

from .. import clock
from ..errors import Unavailable
from ..logs import about_id
from ..metrics import WEBHOOK, Metrics
from ..storage.doorbell import Doorbell
from ..storage.records import Claimed, Report, Settlement
from ..storage.work import WorkStore

log = logging.getLogger(__name__)

AGAIN = 1.0  # seconds between tries while the store is not available

Judged = tuple[Claimed, Settlement]


class Settler:
    """`run` until there is nothing left and `more()` says that nothing will come.

    `settled(settlement)` is called for each when the store has answered, accepted or not; until
    then its lease is to be kept alive. Ring `bell` when `more()` has changed.
    """

    def __init__(
        self,
        store: WorkStore,
        *,
        now: clock.Now,
        settled: Callable[[Settlement], None],
        more: Callable[[], bool],
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._now = now
        self._settled = settled
        self._more = more
        self._metrics = metrics
        self._finished: list[Judged] = []
        self._last_words: list[Report] = []
        self.bell = Doorbell()

    def add(self, job: Claimed, settlement: Settlement, last_words: Report | None) -> None:
        """What an attempt had still to say goes with its verdict."""
        self._finished.append((job, settlement))
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
                settlements, now = [settlement for _, settlement in batch], self._now()
                try:
                    accepted = await self._store.settle(settlements, now, words)
                except Unavailable as error:
                    log.warning("cannot settle %d jobs right now: %s", len(batch), error)
                    self._finished = batch + self._finished
                    self._last_words += words  # behind what came late
                    await trio.sleep(AGAIN)
                    continue
                for settlement in settlements:
                    self._settled(settlement)
                    if settlement.id not in accepted:
                        log.warning(
                            "job %s ended as %s, too late: its lease was lost",
                            settlement.id,
                            settlement.state,
                            extra=about_id(settlement.id),
                        )
                if any(job.is_limited for job, _ in batch):
                    self._store.doorbell.ring()  # now there is room in its queue, not before
                self._count(batch, accepted, now)

    def _count(self, batch: Sequence[Judged], accepted: Set[str], now: float) -> None:
        if len(accepted) < len(batch):
            batch = [judged for judged in batch if judged[1].id in accepted]
        durations: defaultdict[str, list[float]] = defaultdict(list)
        for job, _ in batch:
            durations[job.type].append(now - job.started_at)
        for type_, seconds in durations.items():
            self._metrics.settled(type_, seconds)
        if WEBHOOK in durations:
            for job, settlement in batch:
                if job.type == WEBHOOK:
                    self._metrics.delivered(settlement.reason or settlement.state)
