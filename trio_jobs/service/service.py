"""The verbs."""

import copy
from collections.abc import Iterable, Sequence
from functools import partial

import msgspec
import trio

from .. import clock
from ..config import Settings
from ..errors import Conflict, InvalidInput, NotFound, Outdated, Unavailable
from ..job import State, states_with_status
from ..metrics import Metrics
from ..redaction import Redactor
from ..registry import Handler, Registry
from ..storage.base import Store
from ..storage.records import Job, LogLine, NewJob, Page
from ..storage.watching import AttemptRecord, Change, QueueInfo
from ..storage.wishes import Amendment, Filter, Moved
from .bulk import Bulk, BulkAction, BulkProgress, BulkReport, silent
from .desk import Desk, Placed
from .filters import check_filter
from .grant import ANYBODY, Grant
from .health import Check, Health
from .order import MAX_SECONDS, Checks, Order, idempotency, in_range
from .reach import Reach
from .remote import Working
from .remote.roster import Remotes
from .room import Room
from .tokens import Tokens
from .types import Types
from .watch import Watch
from .why import AskHands, Why, why

MAX_PAGE = 500
MAX_PAGE_OF_BODIES = 50
MAX_LINES = 1_000
MAX_LIMIT = 1_000_000


class Service:
    """What a caller may ask: enqueue, look, wait, steer, and steer many at once.

    `watch` tells what happens to jobs, while `watch.run` runs; `working` is what workers elsewhere
    ask, some of it while `working.run` runs. `hands` says what the worker of this
    process takes, `metrics` what the process has counted; `redactor` is for those who show jobs in
    passing. From `drain` on, new jobs are refused, waits and subscriptions end at once
    (`stopping`), and everything else goes on working.

    Every verb about one job raises NotFound when it is not there; those that change it raise
    Conflict when its state forbids. `within` gives the same service to somebody who may see some of
    the jobs only.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        settings: Settings,
        *,
        now: clock.Now = clock.now,
        hands: AskHands = lambda: None,
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._remotes = Remotes(store, now)
        self._types = Types(registry, settings.remote_types, lambda: self._remotes.types)
        self._checks = Checks(self._types, settings)
        self._desk = Desk(store, self._checks, Room(store, settings.max_queued), self._learn)
        self._reach = Reach(store, ANYBODY)
        self.hands = hands
        self.metrics = metrics or Metrics(registry.types)
        self.now = now
        self.redactor = Redactor(settings.redact, settings.secrets)
        self.watch = Watch(store)
        self.working = Working(
            store,
            self._types,
            settings,
            self._remotes,
            now=now,
            metrics=self.metrics,
            redactor=self.redactor,
        )
        self.tokens = Tokens(store, now)
        self._health = Health(store, hands, now)
        self.stopping = trio.Event()

    def within(self, grant: Grant) -> "Service":
        """This service as `grant` limits it: other jobs are not there, and cannot be made."""
        if grant is self._reach.grant:
            return self
        limited = copy.copy(self)
        limited._reach = Reach(self._store, grant)
        limited.working = self.working.within(grant)
        return limited

    @property
    def draining(self) -> bool:
        return self.stopping.is_set()

    def drain(self) -> None:
        """The process is about to stop."""
        self.stopping.set()
        self.watch.close()
        self.working.close()

    def sees(self, type_: str, queue: str) -> bool:
        """Is a job of this type, in this queue, the caller's business?"""
        return self._reach.grant.covers(type_, queue)

    async def is_welcome(self) -> bool:
        """May whoever asks still do so? His token may have been revoked meanwhile."""
        return await self.tokens.holds(self._reach.grant)

    async def checks(self) -> list[Check]:
        """What must work for jobs to be stored and run here, and whether it does."""
        return await self._health.checks(draining=self.draining)

    @property
    def handlers(self) -> list[Handler]:
        """The types of jobs that this process knows, and the caller may; by name."""
        return self._allowed(self._registry)

    async def foreign(self) -> list[Handler]:
        """The types that only workers elsewhere know, and the caller may; by name."""
        await self._remotes.learn()
        types = set(self._remotes.types) - set(self._registry.types)
        return self._allowed(map(self._types.terms, types))

    def _allowed(self, handlers: Iterable[Handler]) -> list[Handler]:
        types = self._reach.grant.types
        allowed = [handler for handler in handlers if types is None or handler.type in types]
        return sorted(allowed, key=lambda handler: handler.type)

    # ── enqueue ───────────────────────────────────────────────────────────────────────────────

    async def enqueue(
        self, orders: Sequence[Order], key: tuple[str, str] | None = None
    ) -> list[Placed]:
        """Stores all of `orders` or none; returns when they are on stable storage.

        `key` is an Idempotency-Key and the fingerprint of its request. For 24 h the same pair gets
        the same jobs, as they are then, and nothing new.

        Raises InvalidInput (pointing into the array when there is more than one), Conflict (a
        unique key is taken; a job of this idempotency key is gone), KeyReused, Denied, QueueFull,
        Unavailable.
        """
        if self.draining:
            raise Unavailable("The service is stopping; try again in a moment.", retry_after=5.0)
        owner, now = self._reach.grant.id, self.now()
        known = idempotency(key, now)
        if known is not None and owner:  # everybody has keys of his own
            known = known._replace(key=f"{owner} {known.key}")
        return await self._desk.place(orders, known, now, self._reach)

    def new_job(self, order: Order) -> NewJob:
        """The job that `order` makes, for whoever stores it by himself; nothing is stored."""
        return self._checks.new_job(order, self.now())

    async def _learn(self, types: Iterable[str]) -> None:
        if not all(type_ in self._types for type_ in types):
            await self._remotes.learn()

    # ── look ──────────────────────────────────────────────────────────────────────────────────

    async def get(self, id_: str) -> Job:
        """The job with its payload and result."""
        return await self._reach.job(id_)

    async def wait(self, id_: str, seconds: float, version: int | None = None) -> Job:
        """The job once it has finished or, with a `version`, once it has another one.

        Returns it as it is when `seconds` are over or the service stops.
        """

        def is_over(job: Job | Change) -> bool:
            return job.state.final if version is None else job.version != version

        return await self.watch.until(id_, partial(self.get, id_), is_over, seconds)

    async def list_jobs(
        self,
        filter: Filter | None = None,
        before: int | None = None,
        limit: int = 50,
        *,
        bodies: bool = False,
    ) -> Page:
        """Newest first; at most 500, or 50 with their payloads and results."""
        most = MAX_PAGE_OF_BODIES if bodies else MAX_PAGE
        if not 1 <= limit <= most:
            raise InvalidInput(f"limit must be from 1 to {most}{' with bodies' * bodies}")
        wanted = self._reach.narrow(check_filter(filter))
        page = await self._store.list_jobs(wanted, before=before, limit=limit)
        if bodies:
            found = await self._store.get([job.id for job in page.jobs])
            page = page._replace(jobs=[found.get(job.id, job) for job in page.jobs])
        return page

    async def attempts(self, id_: str) -> list[AttemptRecord]:
        """All attempts, oldest first."""
        await self._reach.check(id_)
        attempts = await self._store.attempts(id_)
        if not attempts:
            await self.get(id_)
        return attempts

    async def logs(self, id_: str, after: int = 0, limit: int = MAX_LINES) -> list[LogLine]:
        """The lines it logged with a number above `after`, oldest first; at most 1,000."""
        if not 1 <= limit <= MAX_LINES:
            raise InvalidInput(f"limit must be from 1 to {MAX_LINES:,}")
        await self._reach.check(id_)
        lines = await self._store.logs(id_, after, limit)
        if not lines:
            await self.get(id_)
        return lines

    async def why(self, id_: str) -> Why:
        """What keeps the job from running."""
        job = await self.get(id_)
        now, hands = self.now(), self.hands()
        if hands is not None:
            await self._remotes.learn()
            hands = hands._replace(elsewhere=self._remotes.takes(job.type, job.queue))
        return await why(job, self._store, now=now, hands=hands, draining=self.draining)

    # ── steer one ─────────────────────────────────────────────────────────────────────────────

    async def cancel(self, id_: str) -> Job:
        """Cancels it; one that runs is asked to stop, and comes back still running."""
        await self._reach.check(id_)
        moved = _one(await self._store.cancel([id_], self.now()), id_)
        if moved.was.final:
            raise Conflict(f"Job {id_} has ended already: it is {moved.was}.")
        return await self.get(id_)

    async def retry(self, id_: str) -> Job:
        """Queues a finished job again, with fresh attempts."""
        await self._reach.check(id_)
        moved = _one(await self._store.retry([id_], self.now()), id_)
        if not moved.done:
            if moved.was.final:
                raise Conflict(f"Another job holds the unique key of job {id_} by now.")
            raise Conflict(f"Job {id_} is {moved.was}; only a finished job can be retried.")
        return await self.get(id_)

    async def run_now(self, id_: str) -> Job:
        """Ends its waiting for a time. One that is due already keeps its place."""
        job = await self.get(id_)
        if job.state is State.QUEUED:
            return job
        return await self.amend(id_, Amendment(id_, run_at=self.now()))

    async def snooze(self, id_: str, seconds: float) -> Job:
        """Lets a waiting job wait until `seconds` from now."""
        in_range("seconds", seconds, 0, MAX_SECONDS)
        return await self.amend(id_, Amendment(id_, run_at=self.now() + seconds))

    async def amend(self, id_: str, changes: Amendment) -> Job:
        """Changes a waiting job. Raises Outdated when it no longer has `changes.version`."""
        await self._reach.check(id_)
        now = self.now()
        self._checks.amendment(changes, now)
        if changes.queue is not None:
            self._reach.demand((await self.get(id_)).type, changes.queue)
        changes = msgspec.structs.replace(changes, id=id_)
        moved = _one(await self._store.amend([changes], now), id_)
        job = await self.get(id_)
        if moved.done:
            return job
        if changes.version not in (None, job.version):
            raise Outdated(f"Job {id_} has changed: its version is {job.version} by now.")
        raise Conflict(f"Job {id_} is {moved.was}; only a job that waits can be changed.")

    async def remove(self, id_: str) -> None:
        """Forgets a finished job."""
        await self._reach.check(id_)
        moved = _one(await self._store.remove([id_]), id_)
        if not moved.done:
            raise Conflict(f"Job {id_} is {moved.was}; only a finished job can be removed.")

    # ── steer many ────────────────────────────────────────────────────────────────────────────

    async def bulk(
        self,
        action: BulkAction,
        ids: Sequence[str] | None = None,
        filter: Filter | None = None,
        *,
        dry_run: bool = False,
        report: BulkReport = silent,
    ) -> BulkProgress:
        """Cancels, retries or deletes the jobs `ids`, or all that match `filter`.

        Without states in the filter, only those are meant where it changes something. `report` is
        called after each slice. A dry run only counts.
        """
        bulk = Bulk(self._store, action, now=self.now, stopping=self.stopping, report=report)
        if (ids is None) == (filter is None):
            raise InvalidInput("either ids or a filter says which jobs are meant")
        if ids is not None:
            return await bulk.over_ids(await self._reach.some(ids), dry_run=dry_run)
        wanted = self._reach.narrow(check_filter(filter))
        return await bulk.over_filter(wanted, dry_run=dry_run)

    async def queues(self) -> list[QueueInfo]:
        """Every queue that has jobs or is paused, by name."""
        self._reach.demand_counts()
        queues = await self._store.queues()
        return [queue for queue in queues if self._reach.grant.covers_queue(queue.name)]

    async def queue(self, name: str) -> QueueInfo:
        """One queue; an unknown one is empty, since a queue exists by being named."""
        self._reach.demand_queue(name)
        found = [queue for queue in await self._store.queues() if queue.name == name]
        return found[0] if found else QueueInfo(name, {}, None, None)

    async def pause(self, name: str) -> QueueInfo:
        """No job of this queue starts, in any process, until `resume`."""
        self._reach.demand_queue(name)
        await self._store.pause(name, self.now())
        return await self.queue(name)

    async def resume(self, name: str) -> QueueInfo:
        self._reach.demand_queue(name)
        await self._store.resume(name)
        return await self.queue(name)

    async def limit(self, name: str, most: int | None) -> QueueInfo:
        """At most so many jobs of this queue run at a time, in all processes together."""
        self._reach.demand_queue(name)
        in_range("limit", most, 1, MAX_LIMIT)
        await self._store.limit(name, most)
        return await self.queue(name)

    async def purge(self, name: str, report: BulkReport = silent) -> BulkProgress:
        """Cancels all that waits in this queue; what runs goes on."""
        self._reach.demand_queue(name)
        meant = Filter(states=states_with_status("pending"), queues=[name])
        return await self.bulk("cancel", filter=meant, report=report)


def _one(moved: dict[str, Moved], id_: str) -> Moved:
    if id_ not in moved:
        raise NotFound(f"There is no job {id_}.")
    return moved[id_]
