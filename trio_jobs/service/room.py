"""How many jobs may wait in a queue."""

from collections import Counter
from collections.abc import Sequence

import trio

from ..errors import QueueFull
from ..job import states_with_status
from ..storage.base import Store
from ..storage.records import NewJob

FRESH = 0.25
"""Seconds for which a count is believed; what is placed here meanwhile is added to it."""
RUSH = 100_000
"""… and longer, where not even so many jobs a second from other processes could fill the queue."""
AGAIN = 1.0
WAITING = states_with_status("pending")


class Room:
    """Refuses jobs that would make a queue longer than `most` (0: nothing is refused).

    Nearly exact: jobs that leave the queue or that another process adds are seen with the next
    count.
    """

    def __init__(self, store: Store, most: int) -> None:
        self._store = store
        self._most = most
        self._waiting: dict[str, int] = {}
        self._counted_at = float("-inf")
        self._counting = trio.Lock()

    async def demand(self, jobs: Sequence[NewJob]) -> None:
        """Raises QueueFull unless there is room for all of `jobs`, which then take it."""
        if not self._most:
            return
        wanted = {jobs[0].queue: 1} if len(jobs) == 1 else Counter(job.queue for job in jobs)
        age = trio.current_time() - self._counted_at
        unseen = 0 if age <= FRESH else age * RUSH
        waiting = self._waiting
        if any(waiting.get(queue, 0) + n + unseen > self._most for queue, n in wanted.items()):
            await self._count()
            waiting = self._waiting
        for queue, n in wanted.items():
            if waiting.get(queue, 0) + n > self._most:
                raise QueueFull(
                    f"{waiting.get(queue, 0):,} jobs wait in the queue {queue}; it may hold "
                    f"{self._most:,} (max_queued).",
                    AGAIN,
                )
        for queue, n in wanted.items():
            waiting[queue] = waiting.get(queue, 0) + n

    async def _count(self) -> None:
        """Unless that was done a moment ago."""
        async with self._counting:
            if trio.current_time() - self._counted_at > FRESH:
                counts = await self._store.counts()
                self._waiting = {
                    queue: sum(states.get(state, 0) for state in WAITING)
                    for queue, states in counts.items()
                }
                self._counted_at = trio.current_time()
