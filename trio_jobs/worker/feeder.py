"""Claims jobs for idle hands, and hands them over."""

import logging
from collections.abc import Callable

import trio

from .. import clock
from ..config import Settings
from ..errors import Unavailable
from ..executor.attempt import Attempt
from ..storage.records import Claimed
from ..storage.work import WorkStore
from .hand import Hand
from .queue_limits import QueueLimits
from .running import Running
from .type_limits import TypeLimits

log = logging.getLogger(__name__)

AGAIN = 1.0  # seconds between tries while the store is not available

Work = tuple[Claimed, Attempt]


class Feeder:
    """On a channel of size 0, `tasks_waiting_receive` *is* the number of idle slots, so no claimed
    job ever waits, and priorities hold until the last moment.

    `take(job, attempt)` is called for each before it is handed over.
    """

    def __init__(
        self,
        store: WorkStore,
        hand: Hand,
        running: Running,
        limits: QueueLimits,
        type_limits: TypeLimits,
        settings: Settings,
        *,
        now: clock.Now,
        take: Callable[[Claimed, Attempt], None],
    ) -> None:
        self._store = store
        self._hand = hand
        self._running = running
        self._limits = limits
        self._type_limits = type_limits
        self._settings = settings
        self._now = now
        self._take = take
        self._bell = store.doorbell.branch()  # free hands here are nobody else's news
        self._hungry = True  # the queue may hold more than the last claim brought
        self.quiet = False

    def stop(self) -> None:
        """Claims no more."""
        self.quiet = True
        self._bell.ring()

    def hand_is_free(self, job: Claimed | None = None) -> None:
        """A slot is idle now, after `job` when it ran one."""
        if (
            job is None
            or self._hungry
            or self._limits.may_hold_more(job.queue)
            or job.type in self._type_limits
        ):
            self._bell.ring()

    async def run(self, send: trio.MemorySendChannel[Work]) -> None:
        """Claims for idle slots when there may be jobs: the doorbell rang, or more is known."""
        with send:
            while not self.quiet:
                idle = send.statistics().tasks_waiting_receive
                if self._hungry and idle:
                    types, most = self._type_limits.scarcest(idle)
                    got = await self._hand_over(types, most, send)
                    if most < idle and got == most:
                        await self._hand_over(self._type_limits.unlimited, idle - got, send)
                        self._hungry = True
                else:
                    await self._bell.wait(self._settings.poll_interval)
                    self._hungry = True  # silence counts as a ring: the poll beneath the doorbell

    async def _hand_over(
        self, types: list[str], idle: int, send: trio.MemorySendChannel[Work]
    ) -> int:
        """How many there were."""
        jobs = await self._claim(types, idle) if types else []
        self._hungry = len(jobs) == idle
        await trio.lowlevel.checkpoint_if_cancelled()  # nobody is there any more to take them
        for job in jobs:
            attempt = self._hand.attempt(job)
            self._take(job, attempt)
            send.send_nowait((job, attempt))
        return len(jobs)

    async def _claim(self, types: list[str], idle: int) -> list[Claimed]:
        now, free = self._now(), self._limits.free()
        try:
            jobs = await self._store.claim(
                self._store.identity,
                types,
                idle,
                now,
                now + self._settings.lease,
                last_chance=self._running.last_chance is None,
                queues=free,
            )
        except Unavailable as error:
            log.warning("cannot claim jobs right now: %s", error)
            await trio.sleep(AGAIN)
            return []
        self._limits.claimed(jobs, free)
        return jobs
