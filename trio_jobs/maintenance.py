"""What must happen even if nobody asks: promote, expire, rescue, prune."""

import logging
from collections.abc import Awaitable, Callable

import trio

from . import clock
from .config import Settings
from .errors import Unavailable
from .metrics import Metrics
from .retention import Retention
from .storage.base import Store

log = logging.getLogger(__name__)

SLICE = 1_000  # jobs moved in one transaction, so that nobody waits long behind it
AGAIN = 1.0
PRUNED = 250  # jobs removed in one transaction: 1 ms, its fsync included
BREATH = 0.05
PRUNE_SOONEST, PRUNE_LATEST = 5.0, 3_600.0


class Maintenance:
    """Right with none, one or several at work on a store; several only waste effort."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        now: clock.Now = clock.now,
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._metrics = metrics or Metrics()
        self._settings = settings
        self._retention = Retention(settings.keep)
        self._now = now

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ready when the first rescue has been tried: a restart resumes what a crash left at once,
        and does not fail where that has to wait (the disk is full, say): others still read."""
        await self._turn(self._rescue)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._for_ever, self._promote)
            nursery.start_soon(self._for_ever, self._expire)
            nursery.start_soon(self._for_ever, self._rescue)
            nursery.start_soon(self._for_ever, self._prune)
            task_status.started()

    async def _promote(self) -> float:
        now = self._now()
        promoted = await self._store.promote(now, SLICE)
        wait = self._settings.poll_interval
        if promoted.next_due is not None:
            wait = min(wait, promoted.next_due - now)
        return max(wait, 0.0)

    async def _expire(self) -> float:
        now = self._now()
        expired = await self._store.expire(now, SLICE)
        wait = self._settings.poll_interval
        if expired.next_deadline is not None:
            wait = min(wait, expired.next_deadline - now)
        return max(wait, 0.0)

    async def _prune(self) -> float:
        now = self._now()
        removed = await self._store.prune(self._retention.cutoffs(now), now, PRUNED)
        if removed == PRUNED:
            return BREATH  # there may be more, and others want to write as well
        # A job that is kept for a day may stay a minute longer.
        return min(max(self._retention.shortest / 1_000, PRUNE_SOONEST), PRUNE_LATEST)

    async def _rescue(self) -> float:
        rescued = await self._store.rescue(self._now(), SLICE)
        if rescued.requeued:
            log.warning("%d jobs whose worker died are queued again", rescued.requeued)
        if rescued.quarantined:
            log.error("%d jobs have crashed their worker too often: poison", rescued.quarantined)
        self._metrics.rescued(sum(rescued))
        if sum(rescued) == SLICE:
            return 0.0  # there may be more
        return self._settings.lease / 6

    async def _for_ever(self, duty: Callable[[], Awaitable[float]]) -> None:
        while True:
            wait = await self._turn(duty)
            await trio.sleep(wait)

    async def _turn(self, duty: Callable[[], Awaitable[float]]) -> float:
        """`duty` returns how many seconds it can wait until its next turn."""
        try:
            return await duty()
        except Unavailable as error:
            log.warning("upkeep has to wait: %s", error)
            return AGAIN
