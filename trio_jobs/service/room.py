"""How many jobs may wait in a queue."""

from collections import Counter
from collections.abc import Sequence

import trio

from ..errors import QueueFull
from ..job import State
from ..storage.base import Store
from ..storage.records import NewJob

FRESH = 0.25
"""Seconds for which a count is believed; what is placed here meanwhile is added to it."""
RUSH = 100_000
"""… and longer, where not even so many jobs a second from other processes could fill the queue."""
AGAIN = 1.0
WAITING = (State.SCHEDULED, State.QUEUED, State.WAITING)


class Room:
    """Refuses jobs that would make a queue longer than `most` (0: nothing is refused).

    Nearly exact: jobs that leave the queue or that another process adds are seen with the next
    count.
    """

    def __init__(self, store: Store, most: int) -> None:
        self._store = store
        self._most = most
        self._waiting: Counter[str] = Counter()
        self._counted_at = float("-inf")
        self._counting = trio.Lock()

    async def demand(self, jobs: Sequence[NewJob]) -> None:
        """Raises QueueFull unless there is room for all of `jobs`, which then take it."""
        if not self._most:
            return
        wanted: dict[str, int] = {}
        for job in jobs:
            wanted[job.queue] = wanted.get(job.queue, 0) + 1
        if any(not self._is_sure(queue, n) for queue, n in wanted.items()):
            await self._count()
        for queue, n in wanted.items():
            if self._waiting[queue] + n > self._most:
                raise QueueFull(
                    f"{self._waiting[queue]:,} jobs wait in the queue {queue}; it may hold "
                    f"{self._most:,} (max_queued).",
                    AGAIN,
                )
        self._waiting.update(wanted)

    def _is_sure(self, queue: str, n: int) -> bool:
        """Is there room for `n` more, whatever others have done since the last count?"""
        age = trio.current_time() - self._counted_at
        return age <= FRESH or self._waiting[queue] + n + age * RUSH <= self._most

    async def _count(self) -> None:
        async with self._counting:
            if trio.current_time() - self._counted_at > FRESH:
                counts = await self._store.counts()
                self._waiting = Counter()
                for queue, states in counts.items():
                    self._waiting[queue] = sum(states.get(state, 0) for state in WAITING)
                self._counted_at = trio.current_time()
