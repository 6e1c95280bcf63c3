"""What workers elsewhere ask, and what people ask of them."""

import copy
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import trio

from ... import clock
from ...config import Settings
from ...errors import Unavailable
from ...metrics import Metrics
from ...redaction import Redactor
from ...storage.base import Store
from ...storage.records import Claimed
from ...storage.remote import Directive, RemoteWorker
from ..grant import ANYBODY, OTHERS, Grant
from ..types import Types
from .asks import Beat, Beaten, End, Ended, Told, Wish
from .checks import check_worker, checked
from .leases import Leases
from .line import Line
from .roster import Remotes

BRAKE = 1.0
"""Seconds that a worker is held which was told to stop and asks on."""


class Working:
    """Jobs, more time, and an end that is accepted. All times are of this clock.

    `run` must run for those that wait. Of what is asked, nothing has happened when it raises.
    """

    def __init__(
        self,
        store: Store,
        types: Types,
        settings: Settings,
        remotes: Remotes,
        *,
        now: clock.Now,
        metrics: Metrics,
        redactor: Redactor,
    ) -> None:
        self._store = store
        self._now = now
        self._remotes = remotes
        self._grant = ANYBODY
        self._leases = Leases(store, types, settings, metrics, redactor)
        self._line = Line(store, poll=settings.poll_interval, now=now)

    def within(self, grant: Grant) -> "Working":
        """The same for a caller who may have some of the jobs only."""
        limited = copy.copy(self)
        limited._grant = grant
        return limited

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until `close`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._remotes.run)
            nursery.start_soon(self._pass_on)
            task_status.started()
            await self._line.run()
            nursery.cancel_scope.cancel()

    def close(self) -> None:
        """The service stops: nobody gets a job any more, and nobody waits for one."""
        self._line.close()
        self._remotes.tell()

    @property
    def waiting(self) -> int:
        """Calls that wait for a job."""
        return len(self._line)

    # ── what workers ask ──────────────────────────────────────────────────────────────────────

    async def claim(self, worker: str, wish: Wish) -> Told:
        """Jobs, now or within `wish.wait` seconds; none when the time is over, or the service stops
        meanwhile. Raises Denied for jobs that are not the caller's, Unavailable when it is stopping
        already. A cancelled call has claimed nothing.
        """
        check_worker(worker)
        wish = self._allowed(checked(wish))
        self._saw(worker, wish)
        if self._line.closed:
            raise Unavailable("The service is stopping; try again in a moment.", retry_after=5.0)
        return await self._jobs(worker, wish, None)

    async def heartbeat(self, worker: str, beats: Sequence[Beat]) -> tuple[list[Beaten], Directive]:
        """See `beat`; and the worker is there."""
        check_worker(worker)
        self._remotes.saw(worker)
        return await self.beat(beats), self._remotes.directive(worker)

    async def beat(self, beats: Sequence[Beat]) -> list[Beaten]:
        """See `Leases.beat`."""
        return await self._leases.beat(beats, self._now(), self._grant)

    async def end(self, ends: Sequence[End]) -> list[Ended]:
        """See `Leases.end`."""
        return await self._leases.end(ends, self._now(), self._grant)

    async def settle(
        self, worker: str, ends: Sequence[End], wish: Wish | None = None
    ) -> tuple[list[Ended], Told]:
        """See `end`; and jobs, as `claim`: what ends makes room for what starts, all in one
        transaction if there is something.
        """
        check_worker(worker)
        if wish is None:
            self._remotes.saw(worker)
            return await self.end(ends), Told([], self._remotes.directive(worker))
        wish = self._allowed(checked(wish, "/claim"))
        self._saw(worker, wish)
        jobs: list[Claimed] = []
        claim = partial(self._claim_beside, worker, wish, jobs)
        beside = [claim] if self._may_claim(worker) else []
        try:
            ended = await self._leases.end(ends, self._now(), self._grant, beside)
        except BaseException:
            await self._line.hand_back(jobs)
            raise
        return ended, await self._jobs(worker, wish, jobs)

    def seconds_left(self, job: Claimed) -> float:
        """Until its attempt has to end, by its timeout or the job's deadline."""
        left = self._leases.judge.timeout(job.type, job.timeout)
        return max(0.0, left if job.deadline is None else min(left, job.deadline - self._now()))

    # ── what people ask ───────────────────────────────────────────────────────────────────────

    async def workers(self) -> list[tuple[RemoteWorker, list[str]]]:
        """All that were seen lately, each with the ids of its jobs."""
        workers = await self._remotes.workers()
        hands = await self._store.in_hand() if workers else {}
        return [(worker, hands.get(worker.name, [])) for worker in workers]

    async def direct(self, names: Sequence[str], directive: Directive) -> list[RemoteWorker]:
        """Tells these workers what to do, with their next answers; raises NotFound."""
        return await self._remotes.direct(names, directive)

    # ── in parts ──────────────────────────────────────────────────────────────────────────────

    def _allowed(self, wish: Wish) -> Wish:
        return wish._replace(queues=self._grant.work(wish.types, wish.queues, wish.most))

    def _saw(self, worker: str, wish: Wish) -> None:
        any_queue = wish.queues is None or OTHERS in wish.queues
        self._remotes.saw(worker, wish.types, None if any_queue else list(wish.queues or ()))

    def _may_claim(self, worker: str) -> bool:
        return not self._line.closed and self._remotes.directive(worker) is Directive.RUN

    async def _claim_beside(self, worker: str, wish: Wish, jobs: list[Claimed]) -> None:
        with suppress(Unavailable):  # the ends count; who asks for more comes again
            jobs += await self._line.claim(worker, wish)

    async def _jobs(self, worker: str, wish: Wish, jobs: list[Claimed] | None) -> Told:
        """`jobs` (None: what there is now) or, when there are none, those that come in time."""
        if not jobs and not self._may_claim(worker):
            return await self._hold(worker, wish)
        if jobs is None and not (wish.wait and self._line.has(wish)):
            jobs = await self._line.claim(worker, wish)
        if not jobs and wish.wait:
            jobs = await self._line.wait(worker, wish)
        return Told(jobs or [], self._remotes.directive(worker))

    async def _hold(self, worker: str, wish: Wish) -> Told:
        """Who may claim nothing waits as well, until he is told something else."""
        before = self._remotes.directive(worker)
        with trio.move_on_after(min(wish.wait, BRAKE) if before is Directive.STOP else wish.wait):
            while self._remotes.directive(worker) is before and not self._line.closed:
                await self._remotes.news.wait()
        return Told([], self._remotes.directive(worker))

    async def _pass_on(self) -> None:
        """Who waits for jobs, and is told to claim no more, hears it now."""
        while True:
            await self._remotes.news.wait()
            for worker in self._remotes.known:
                if worker.directive is not Directive.RUN:
                    self._line.let_go(worker.name)
