"""How many jobs of which queue a worker runs at a time."""

from collections import Counter
from collections.abc import Mapping, Sequence

from ..service import OTHERS
from ..storage.records import Claimed
from .running import Running


class QueueLimits:
    """Queue -> jobs at a time; "*" for all others together. Without limits, any queue.

    Queues of which no more may run are remembered: they may hold jobs that nobody has asked for,
    and a job's end is the moment to ask.
    """

    def __init__(self, limits: Mapping[str, int], running: Running) -> None:
        self._limits = dict(limits)
        self._running = running
        self._used_up: set[str] = set()

    def free(self) -> dict[str, int] | None:
        """How many more of each queue may run; None: all the same."""
        if not self._limits:
            return None
        free = dict(self._limits)
        for queue, n in self._running.by_queue().items():
            if (share := self._share(queue)) in free:
                free[share] = max(free[share] - n, 0)
        return free

    def claimed(self, jobs: Sequence[Claimed], free: Mapping[str, int] | None) -> None:
        """What a claim with `free` has brought."""
        if free is not None:
            brought = Counter(self._share(job.queue) for job in jobs)
            self._used_up = {share for share, n in free.items() if brought[share] >= n}

    def may_hold_more(self, queue: str) -> bool:
        """Did the last claim leave jobs of this queue, as far as we know?"""
        return bool(self._used_up) and self._share(queue) in self._used_up

    def _share(self, queue: str) -> str:
        return queue if queue in self._limits else OTHERS
