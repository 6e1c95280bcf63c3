"""Claim -> channel -> run -> settle.

    the store ──claim──▶ feeder ──▶ zero-size channel ──▶ slots ──▶ finished ──settle──▶ the store

The feeder claims for idle hands only: on a channel of size 0, `tasks_waiting_receive` *is* the
number of idle slots, so no claimed job ever waits, and priorities hold until the last moment.
A slot that is done with a job leaves its verdict with the settler and is idle at once; settle and
next claim meet in one transaction (see `storage.writes.Write.order`).
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from .. import clock
from ..config import Settings
from ..errors import Unavailable
from ..executor import Attempt, describe, execute
from ..job import Error, Failed, Outcome, Reason, Stopped, judge
from ..registry import Handler, Registry
from ..storage.base import Store
from ..storage.doorbell import Doorbell
from ..storage.records import Claimed, Lease, Settlement, is_json
from .heartbeat import Heartbeat

log = logging.getLogger(__name__)

AGAIN = 1.0  # seconds between tries while the store is not available
LOOK_FOR_STUCK = 0.25


class Worker:
    """Runs jobs until `quiet`. `drained` is set when the last one has been settled."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        settings: Settings,
        *,
        now: clock.Now = clock.now,
        heartbeat: bool = True,
    ) -> None:
        self._store = store
        self._registry = registry
        self._settings = settings
        self._now = now
        self._heartbeat = heartbeat
        self._threads = trio.CapacityLimiter(settings.threads)
        self._unlimited = trio.CapacityLimiter(float("inf"))
        # By lease token: a job that was taken from us may be back before its old attempt has ended.
        self._running: dict[int, tuple[Claimed, Attempt]] = {}
        self._leases: dict[str, Lease] = {}
        self._finished: list[Settlement] = []
        self._settle_bell = Doorbell()
        self._hungry = True  # the queue may hold more than the last claim brought
        self._quiet = False
        self._stopping: Reason | None = None  # meets what a claim brings after stop_all
        self._last_chance: int | None = None  # the lease token of the one such job
        self._slots = 0
        self.stuck = 0
        self.drained = trio.Event()

    # ── what the runtime asks ─────────────────────────────────────────────────────────────────

    @property
    def running(self) -> int:
        """Attempts under way."""
        return len(self._running)

    def quiet(self) -> None:
        """Claims no more. Idle slots end now, busy ones when their job has ended."""
        self._quiet = True
        self._store.doorbell.ring()

    def stop_all(self, reason: Reason) -> None:
        """Cancels every attempt under way, for `reason`; when quiet, also any that still starts."""
        if self._quiet:
            self._stopping = reason
        for _, attempt in list(self._running.values()):
            attempt.stop(reason)

    def abandon_all(self) -> None:
        """Goes on without the attempts that are still under way."""
        for job, attempt in list(self._running.values()):
            self._abandon(job, attempt)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Works until quiet and drained. With stuck attempts it cannot return: see `drained`."""
        self._send, jobs = trio.open_memory_channel[Claimed](0)
        async with trio.open_nursery() as helpers:
            if self._heartbeat:
                await helpers.start(self._beating().run)
            async with trio.open_nursery() as nursery:
                for _ in range(self._settings.concurrency):
                    self._add_slot(nursery, jobs)
                helpers.start_soon(self._settle)
                helpers.start_soon(self._watch, nursery, jobs)
                task_status.started()
                await self._feed()
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

    # ── claim ─────────────────────────────────────────────────────────────────────────────────

    async def _feed(self) -> None:
        """Claims for idle slots when there may be jobs: the doorbell rang, or more is known."""
        with self._send:
            while not self._quiet:
                idle = self._send.statistics().tasks_waiting_receive
                if self._hungry and idle:
                    for job in await self._claim(idle):
                        if job.id in self._leases:
                            self._lease_lost(self._leases[job.id])
                        self._leases[job.id] = job.lease
                        if job.on_last_chance:
                            self._last_chance = job.lease_token
                        self._send.send_nowait(job)
                else:
                    await self._store.doorbell.wait(self._settings.poll_interval)
                    self._hungry = True  # silence counts as a ring: the poll beneath the doorbell

    async def _claim(self, idle: int) -> list[Claimed]:
        now = self._now()
        try:
            jobs = await self._store.claim(
                self._store.identity,
                self._registry.types,
                idle,
                now,
                now + self._settings.lease,
                last_chance=self._last_chance is None,
            )
        except Unavailable as error:
            log.warning("cannot claim jobs right now: %s", error)
            await trio.sleep(AGAIN)
            return []
        self._hungry = len(jobs) == idle
        return jobs

    # ── run ───────────────────────────────────────────────────────────────────────────────────

    def _add_slot(self, nursery: trio.Nursery, jobs: trio.MemoryReceiveChannel[Claimed]) -> None:
        self._slots += 1
        nursery.start_soon(self._slot, jobs.clone())

    async def _slot(self, jobs: trio.MemoryReceiveChannel[Claimed]) -> None:
        self._store.doorbell.ring()  # there is an idle hand now
        with jobs:
            async for job in jobs:
                if not await self._attempt(job):
                    return  # it was stuck, and its slot has been replaced long since
                if self._hungry:
                    self._store.doorbell.ring()
        self._slots -= 1
        self._settle_bell.ring()

    async def _attempt(self, job: Claimed) -> bool:
        """One job through execute, judge and settle; False when it was stuck meanwhile."""
        upload = None if is_json(job.content_type) else job.payload
        handler = self._registry[job.type]
        attempt = Attempt(
            job_id=job.id,
            attempt=job.attempt,
            max_attempts=job.max_attempts,
            timeout=job.timeout or handler.timeout or self._settings.job_timeout,
            started_at=job.started_at,
            upload=upload,
            content_type=job.content_type,
        )
        self._running[job.lease_token] = job, attempt
        if self._stopping is not None:
            attempt.stop(self._stopping)
        try:
            work = self._work(job, handler, attempt)
        except Exception as error:  # its payload was valid when it came; the handler has changed
            outcome: Outcome = Failed(describe(error), permanent=True)
        else:
            outcome = await execute(attempt, work, max_result=self._settings.max_result)
        if attempt.abandoned:
            self.stuck -= 1
            if attempt.in_thread:
                self._threads.total_tokens -= 1
            return False
        self._ended(job, outcome, handler)
        return True

    def _work(
        self, job: Claimed, handler: Handler, attempt: Attempt
    ) -> Callable[[], Awaitable[object]]:
        upload = attempt.upload is not None
        input_ = handler.decode_params(job.params or {}) if upload else handler.decode(job.payload)
        if handler.is_async:
            attempt.start_clock()
            return partial(handler.run, input_, attempt)

        async def in_thread() -> object:
            async with self._threads:
                attempt.start_clock()
                return await trio.to_thread.run_sync(
                    handler.run, input_, attempt, limiter=self._unlimited
                )

        attempt.in_thread = True
        return in_thread

    def _ended(self, job: Claimed, outcome: Outcome, handler: Handler) -> None:
        del self._running[job.lease_token]
        if job.lease_token == self._last_chance:
            self._last_chance = None
        verdict = judge(job, outcome, self._now(), handler.backoff)
        if verdict is None:
            self._forget(job.id, job.lease_token)
        else:
            self._finished.append(Settlement.of(job.lease, verdict))
            self._settle_bell.ring()

    # ── settle ────────────────────────────────────────────────────────────────────────────────

    async def _settle(self) -> None:
        """Hands verdicts to the store, all there are at a time, until no slot is left."""
        while self._slots or self._finished or not self._quiet:
            await self._settle_bell.wait()
            while self._finished:
                batch, self._finished = self._finished, []
                try:
                    accepted = await self._store.settle(batch, self._now())
                except Unavailable as error:
                    log.warning("cannot settle %d jobs right now: %s", len(batch), error)
                    self._finished = batch + self._finished  # their leases are kept alive
                    await trio.sleep(AGAIN)
                    continue
                for settlement in batch:
                    self._forget(settlement.id, settlement.token)
                    if settlement.id not in accepted:
                        log.warning(
                            "job %s ended as %s, too late: its lease was lost",
                            settlement.id,
                            settlement.state,
                        )
        self.drained.set()

    def _forget(self, id_: str, token: int) -> None:
        lease = self._leases.get(id_)
        if lease is not None and lease.token == token:  # else the job is ours again, anew
            del self._leases[id_]

    # ── what goes wrong ───────────────────────────────────────────────────────────────────────

    def _lease_lost(self, lease: Lease) -> None:
        if lease.token in self._running:
            log.warning("job %s lost its lease; stopping it here", lease.id)
            self._running[lease.token][1].stop(Reason.LEASE_LOST)

    async def _watch(self, nursery: trio.Nursery, jobs: trio.MemoryReceiveChannel[Claimed]) -> None:
        """Goes on without attempts that ignore their cancellation for longer than the grace."""
        while True:
            before = trio.current_time()
            await trio.sleep(LOOK_FOR_STUCK)
            now = trio.current_time()
            if now - before > 2 * LOOK_FOR_STUCK:
                continue  # the loop was blocked: nobody has had a chance to notice a deadline
            limit = now - self._settings.cleanup_grace
            for job, attempt in list(self._running.values()):
                if attempt.stopping_since < limit:
                    self._abandon(job, attempt)
                    if not self._quiet:
                        self._add_slot(nursery, jobs)

    def _abandon(self, job: Claimed, attempt: Attempt) -> None:
        """The job moves on without it; the fence drops whatever it still has to say."""
        attempt.abandoned = True
        self.stuck += 1
        self._slots -= 1
        if attempt.in_thread:
            self._threads.total_tokens += 1  # its thread is lost until it returns
        seconds = trio.current_time() - attempt.stopping_since
        message = f"it did not stop within {seconds:.1f} s of being cancelled ({attempt.reason})"
        log.error("job %s (%s) is stuck: %s", job.id, job.type, message)
        outcome = Stopped(attempt.reason, Error("Stuck", message))
        self._ended(job, outcome, self._registry[job.type])
        self._settle_bell.ring()
