"""Claim -> channel -> run -> settle.

    the store ──claim──▶ feeder ──▶ zero-size channel ──▶ slots ──▶ finished ──settle──▶ the store

The feeder claims for idle hands only, so no claimed job ever waits. A slot that is done with a job
leaves its verdict with the settler and is idle at once; settle and next claim meet in one
transaction (see `storage.writes.Write.order`).
"""

import logging

import trio

from .. import clock
from ..config import Settings
from ..executor.attempt import Attempt
from ..job import Error, Outcome, Reason, Stopped
from ..logs import about, about_id
from ..metrics import Metrics
from ..registry import Registry
from ..service import OTHERS, Hands
from ..storage.records import Claimed, Lease, Settlement
from ..storage.work import WorkStore
from .cancels import Cancels
from .feeder import Feeder, Work
from .hand import Hand
from .heartbeat import Heartbeat
from .lifespans import opened
from .log_capture import installed
from .queue_limits import QueueLimits
from .reporter import Reporter
from .running import Running
from .settler import Settler
from .type_limits import TypeLimits

log = logging.getLogger(__name__)

LOOK_FOR_STUCK = 0.25


class Worker:
    """Runs jobs until `quiet`.

    `drained` is set when the last one has been settled, `closed` when what its handlers share is
    closed as well.
    """

    def __init__(
        self,
        store: WorkStore,
        registry: Registry,
        settings: Settings,
        *,
        now: clock.Now = clock.now,
        heartbeat: bool = True,
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._settings = settings
        self._now = now
        self._heartbeat = heartbeat
        self._hand = Hand(registry, settings, now=now)
        self._limits = settings.queue_limits
        self._running = Running()
        self._leases: dict[str, Lease] = {}
        self._settler = Settler(
            store,
            now=now,
            settled=lambda settlement: self._forget(settlement.id, settlement.token),
            more=self._expects_more,
            metrics=metrics or Metrics(registry.types),
        )
        self._reporter = Reporter(store, self._running, now=now, late=self._settler.add_late)
        self._cancels = Cancels(store, self._running)
        self._feeder = Feeder(
            store,
            self._hand,
            self._running,
            QueueLimits(self._limits, self._running),
            TypeLimits(registry, self._running),
            settings,
            now=now,
            take=self._take,
        )
        self._stopping: Reason | None = None  # meets what a claim brings after stop_all
        self._slots = 0
        self.stuck = 0
        self.drained = trio.Event()
        self.closed = trio.Event()

    # ── what the runtime asks ─────────────────────────────────────────────────────────────────

    @property
    def running(self) -> int:
        """Attempts under way."""
        return len(self._running)

    def quiet(self) -> None:
        """Claims no more. Idle slots end now, busy ones when their job has ended."""
        self._feeder.stop()

    def stop_all(self, reason: Reason) -> None:
        """Cancels every attempt under way, for `reason`; when quiet, also any that still starts."""
        if self._feeder.quiet:
            self._stopping = reason
        for _, attempt in self._running:
            attempt.stop(reason)

    def abandon_all(self) -> None:
        """Goes on without the attempts that are still under way."""
        for job, attempt in self._running:
            self._abandon(job, attempt)

    def hands(self) -> Hands:
        """What this worker takes, for those who ask why a job waits, or what there is to do."""
        last_chance = self._running.last_chance
        return Hands(
            self._registry.types,
            self._limits or {OTHERS: self._settings.concurrency},
            self._running.by_queue(),
            None if last_chance is None else last_chance.id,
            self.stuck,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Works until quiet and drained. With stuck attempts it cannot return: see `drained`."""
        with installed():
            async with opened(self._registry) as self._hand.resources:
                await self._run(task_status)
        self.closed.set()

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        send, jobs = trio.open_memory_channel[Work](0)
        async with trio.open_nursery() as helpers:
            if self._heartbeat:
                await helpers.start(self._beating().run)
            if self._hand.processes is not None:
                await helpers.start(self._hand.processes.run)
            helpers.start_soon(self._reporter.run)
            helpers.start_soon(self._cancels.run)
            async with trio.open_nursery() as nursery:
                for _ in range(sum(self._limits.values()) or self._settings.concurrency):
                    self._add_slot(nursery, jobs)
                helpers.start_soon(self._settle_all)
                helpers.start_soon(self._watch, nursery, jobs)
                task_status.started()
                await self._feeder.run(send)
            await self.drained.wait()
            helpers.cancel_scope.cancel()

    def _beating(self) -> Heartbeat:
        return Heartbeat(
            self._store,
            self._leases,
            lease=self._settings.lease,
            now=self._now,
            on_lost=self._lease_lost,
        )

    # ── run ───────────────────────────────────────────────────────────────────────────────────

    def _take(self, job: Claimed, attempt: Attempt) -> None:
        """A job that has just been claimed, on its way to its slot."""
        if job.id in self._leases:
            self._lease_lost(self._leases[job.id])
        self._leases[job.id] = job.lease
        self._running.add(job, attempt)
        if self._stopping is not None:
            attempt.stop(self._stopping)

    def _add_slot(self, nursery: trio.Nursery, jobs: trio.MemoryReceiveChannel[Work]) -> None:
        self._slots += 1
        nursery.start_soon(self._slot, jobs.clone())

    async def _slot(self, jobs: trio.MemoryReceiveChannel[Work]) -> None:
        self._feeder.hand_is_free()
        with jobs:
            async for job, attempt in jobs:
                if not await self._run_one(job, attempt):
                    return  # it was stuck, and its slot has been replaced long since
                self._feeder.hand_is_free(job)
        self._slots -= 1
        self._settler.bell.ring()

    async def _run_one(self, job: Claimed, attempt: Attempt) -> bool:
        """One job through execute, judge and settle; False when it was stuck meanwhile."""
        outcome = await self._hand.run(job, attempt)
        if attempt.abandoned:
            self.stuck -= 1
            self._hand.regain(attempt)
            return False
        self._ended(job, outcome, attempt)
        return True

    def _ended(self, job: Claimed, outcome: Outcome, attempt: Attempt) -> None:
        self._running.remove(job)
        verdict = self._hand.judge(job, outcome)
        if verdict is None:
            self._forget(job.id, job.lease_token)
        else:
            words = self._reporter.last_words(job, attempt)
            self._settler.add(job, Settlement.of(job.lease, verdict), words)

    def _expects_more(self) -> bool:
        return self._slots > 0 or not self._feeder.quiet

    def _forget(self, id_: str, token: int) -> None:
        lease = self._leases.get(id_)
        if lease is not None and lease.token == token:  # else the job is ours again, anew
            del self._leases[id_]

    async def _settle_all(self) -> None:
        await self._settler.run()
        self.drained.set()

    # ── what goes wrong ───────────────────────────────────────────────────────────────────────

    def _lease_lost(self, lease: Lease) -> None:
        attempt = self._running.attempt(lease.token)
        if attempt is not None:
            about_it = about_id(lease.id)
            log.warning("job %s lost its lease; stopping it here", lease.id, extra=about_it)
            attempt.stop(Reason.LEASE_LOST)

    async def _watch(self, nursery: trio.Nursery, jobs: trio.MemoryReceiveChannel[Work]) -> None:
        """Goes on without attempts that ignore their cancellation for longer than the grace."""
        while True:
            await self._running.wait_for_some()
            before = trio.current_time()
            await trio.sleep(LOOK_FOR_STUCK)
            now = trio.current_time()
            if now - before > 2 * LOOK_FOR_STUCK:
                continue  # the loop was blocked: nobody has had a chance to notice a deadline
            limit = now - self._settings.cleanup_grace
            for job, attempt in self._running:
                if attempt.stopping_since < limit:
                    self._abandon(job, attempt)
                    if not self._feeder.quiet:
                        self._add_slot(nursery, jobs)

    def _abandon(self, job: Claimed, attempt: Attempt) -> None:
        """The job moves on without it; the fence drops whatever it still has to say."""
        attempt.abandoned = True
        self.stuck += 1
        self._slots -= 1
        self._hand.lose(attempt)
        seconds = trio.current_time() - attempt.stopping_since
        message = f"it did not stop within {seconds:.1f} s of being cancelled ({attempt.reason})"
        log.error("job %s (%s) is stuck: %s", job.id, job.type, message, extra=about(job))
        outcome = Stopped(attempt.reason, Error("Stuck", message))
        self._ended(job, outcome, attempt)
        self._settler.bell.ring()
