"""What a store promises, as a small model: a job is a few values, a lease is a token.

A step of a history moves the model at once and hands back what to ask the store, and how to judge
its answer. So steps can be taken one by one, or several in one transaction.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import trio

from trio_jobs.errors import Conflict, KeyReused
from trio_jobs.job import CRASHES_ALLOWED, TRANSITIONS, Event, State
from trio_jobs.storage.records import (
    UNTIL_FINISHED,
    Amendment,
    Claimed,
    Enqueued,
    Key,
    Lease,
    LogLine,
    Moved,
    NewJob,
    Progress,
    Report,
)

from ..conftest import EPOCH
from .conftest import SqliteBackend
from .jobs import VERDICTS, new_job, settlement

WAITING = (State.SCHEDULED, State.QUEUED)
WORKERS = ("me", "remote-1", "process-dead")
ROW = """id, state, reason, attempt, crashes, queue, priority, run_at, deadline, lease_token,
  lease_expires_at, cancel_requested_at, finished_at, version, progress is not null, type,
  unique_key, unique_until, (select body from payloads as p where p.seq = jobs.seq)"""


class Shape(NamedTuple):
    """A job to come; times are from now."""

    queue: str = "a"
    type: str = "x"
    priority: int = 0
    delay: float = 0.0
    deadline: float | None = None
    key: str | None = None
    held_for: float | None = None  # None: until it is finished
    on_conflict: str = "return"


class Plan(NamedTuple):
    """What to ask the store, and who judges the answer."""

    call: Callable[[], Awaitable[Any]]
    judge: Callable[[Any], None]


@dataclass
class Known:
    """A job, as the model knows it."""

    id: str
    queue: str
    type: str
    priority: int
    run_at: float
    state: State
    payload: str
    deadline: float | None = None
    key: str | None = None
    until: float | None = None
    reason: str | None = None
    attempt: int = 0
    crashes: int = 0
    version: int = 1
    worker: str | None = None
    token: int | None = None
    expires_at: float | None = None
    stopping: float | None = None
    finished_at: float | None = None
    progress: bool = False
    lines: int = 0

    @property
    def row(self) -> tuple[Any, ...]:
        return (
            *(self.id, self.state, self.reason, self.attempt, self.crashes, self.queue),
            *(self.priority, self.run_at, self.deadline, self.token, self.expires_at),
            *(self.stopping, self.finished_at, self.version, self.progress, self.type),
            *(self.key, self.until, self.payload),
        )


def equal(expected: Any) -> Callable[[Any], None]:
    def judge(answer: Any) -> None:
        assert answer == expected

    return judge


async def answer_of(call: Callable[[], Awaitable[Any]]) -> Any:
    """What the store says; a refusal is an answer too."""
    try:
        return await call()
    except (Conflict, KeyReused) as refusal:
        return type(refusal)


@dataclass
class World:
    """A store, the model of it, and every lease that was ever given."""

    store: Any
    backend: SqliteBackend
    now: float = EPOCH
    jobs: dict[str, Known] = field(default_factory=dict)  # by age
    leases: list[Lease] = field(default_factory=list)
    keys: dict[str, tuple[Key, list[str]]] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    made: int = 0
    told: list[tuple[str, str, str | None]] = field(default_factory=list)
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)
    stands: dict[str, str] = field(default_factory=dict)  # in which state, by its changes
    last: int = 0

    # ── the parts of a step ───────────────────────────────────────────────────────────────────

    def held(self) -> list[Lease]:
        return [lease for lease in self.leases if self.holds(lease)]

    def lost(self) -> list[Lease]:
        return [lease for lease in self.leases if not self.holds(lease)]

    def holds(self, lease: Lease) -> bool:
        job = self.jobs.get(lease.id)
        return job is not None and job.token == lease.token

    def some(self, picks: Sequence[int]) -> list[str]:
        """Ids of jobs, now and then of one that does not exist."""
        ids = [*self.jobs, "none"]
        return [ids[pick % len(ids)] for pick in picks]

    def tell(self, job: Known, event: str, reason: str | None = None) -> None:
        self.told.append((job.id, event, reason))

    def move(self, job: Known, event: Event, reason: str | None = None) -> None:
        """The one way from state to state."""
        job.state = TRANSITIONS[job.state][event]
        job.reason = reason
        job.version += 1
        job.token = job.expires_at = None
        job.finished_at = self.now if job.state.final else None
        if job.state.final and job.until == UNTIL_FINISHED:
            job.until = None
        self.tell(job, job.state, reason)

    def holder(self, type_: str, key: str | None) -> Known | None:
        for job in self.jobs.values():
            held = job.until is not None and job.until > self.now
            if key is not None and held and (job.type, job.key) == (type_, key):
                return job
        return None

    def change(
        self, job: Known, run_at: float | None, priority: int | None, queue: str | None = None
    ) -> None:
        """What amend and replace do to a job that waits."""
        wanted = job.state
        if run_at is not None:
            job.run_at = run_at
            wanted = State.SCHEDULED if run_at > self.now else State.QUEUED
        job.priority = job.priority if priority is None else priority
        job.queue = queue or job.queue
        if wanted is job.state:
            job.version += 1
            self.tell(job, "changed", job.reason)
        elif wanted is State.SCHEDULED:
            self.move(job, Event.POSTPONE, "snoozed")
        else:
            self.move(job, Event.PROMOTE)

    def wish(self, verb: str, ids: Iterable[str], move: Callable[[Known], bool]) -> dict[str, Any]:
        """The answer to a person who asks for a `move` of each job."""
        answer: dict[str, Moved] = {}
        for id_ in dict.fromkeys(ids):
            if job := self.jobs.get(id_):
                was, done = job.state, move(job)
                answer[id_] = Moved(was, None if done and verb == "remove" else job.state, done)
        return answer

    # ── asked by callers ──────────────────────────────────────────────────────────────────────

    def enqueue(self, shapes: Sequence[Shape], key: tuple[str, str, float] | None = None) -> Plan:
        batch = [self.job(shape) for shape in shapes]
        known = None if key is None else Key(key[0], key[1], self.now + key[2])
        call = partial(self.store.enqueue, batch, known)
        if known is not None and known.key in self.keys:
            kept, ids = self.keys[known.key]
            if kept.expires_at > self.now:
                again = kept.fingerprint == known.fingerprint
                return Plan(call, equal(Enqueued(ids, replayed=True) if again else KeyReused))
        ids = self.stored(batch)
        if ids is None:
            return Plan(call, equal(Conflict))
        if known is not None:
            self.keys[known.key] = known, ids
        return Plan(call, equal(Enqueued(ids)))

    def job(self, shape: Shape) -> NewJob:
        self.made += 1
        until = None
        if shape.key is not None:
            until = UNTIL_FINISHED if shape.held_for is None else self.now + shape.held_for
        return new_job(
            b"%d" % self.made,
            queue=shape.queue,
            type=shape.type,
            priority=shape.priority,
            state=State.SCHEDULED if shape.delay > 0 else State.QUEUED,
            created_at=self.now,
            run_at=self.now + shape.delay,
            deadline=None if shape.deadline is None else self.now + shape.deadline,
            unique_key=shape.key,
            unique_until=until,
            on_conflict=shape.on_conflict,
        )

    def stored(self, batch: Sequence[NewJob]) -> list[str] | None:
        """The ids that stand for `batch`, which is stored; None: it is refused, and is not."""
        before = dict(self.jobs), len(self.told)
        others: dict[str, str] = {}
        replacing: dict[str, NewJob] = {}
        for new in sorted(batch, key=lambda new: new.unique_key is not None):
            if holder := self.holder(new.type, new.unique_key):
                late = holder.state not in WAITING
                if new.on_conflict == "reject" or (new.on_conflict == "replace" and late):
                    self.jobs = before[0]
                    del self.told[before[1] :]
                    return None
                others[new.id] = holder.id
                if new.on_conflict == "replace":
                    replacing[holder.id] = new
                continue
            job = Known(
                *(new.id, new.queue, new.type, new.priority, new.run_at, new.state),
                *(new.payload_text or "", new.deadline, new.unique_key, new.unique_until),
            )
            self.jobs[job.id] = job
            self.tell(job, job.state)
        for id_, new in replacing.items():
            self.jobs[id_].payload = new.payload_text or ""
            self.change(self.jobs[id_], new.run_at, new.priority)
        return [others.get(new.id, new.id) for new in batch]

    def cancel(self, picks: Sequence[int]) -> Plan:
        def move(job: Known) -> bool:
            if job.state in WAITING:
                self.move(job, Event.CANCEL, "cancelled")
            elif job.state is State.RUNNING and job.stopping is None:
                job.stopping = self.now
                job.version += 1
                self.tell(job, "cancelling", "cancelled")
            elif job.state.final:
                return False
            return True

        ids = self.some(picks)
        answer = self.wish("cancel", ids, move)
        return Plan(partial(self.store.cancel, ids, self.now), equal(answer))

    def retry(self, picks: Sequence[int]) -> Plan:
        def move(job: Known) -> bool:
            holder = self.holder(job.type, job.key)
            if not job.state.final or holder not in (None, job):
                return False
            self.move(job, Event.RETRY)
            job.attempt = job.crashes = 0
            job.run_at, job.stopping, job.progress = self.now, None, False
            if job.deadline is not None and job.deadline <= self.now:
                job.deadline = None
            if job.key is not None and holder is None:
                job.until = UNTIL_FINISHED
            return True

        ids = self.some(picks)
        answer = self.wish("retry", ids, move)
        return Plan(partial(self.store.retry, ids, self.now), equal(answer))

    def amend(
        self, wishes: Sequence[tuple[int, float | None, int | None, str | None, bool]]
    ) -> Plan:
        amendments: dict[str, Amendment] = {}
        for pick, delay, priority, queue, stale in wishes:
            [id_] = self.some([pick])
            version = self.jobs[id_].version - 1 if stale and id_ in self.jobs else None
            run_at = None if delay is None else self.now + delay
            amendments[id_] = Amendment(id_, version, run_at, priority, queue)

        def move(job: Known) -> bool:
            wish = amendments[job.id]
            if job.state not in WAITING or wish.version is not None:
                return False
            self.change(job, wish.run_at, wish.priority, wish.queue)
            return True

        answer = self.wish("amend", amendments, move)
        rows = list(amendments.values())
        return Plan(partial(self.store.amend, rows, self.now), equal(answer))

    def remove(self, picks: Sequence[int]) -> Plan:
        def move(job: Known) -> bool:
            return job.state.final and self.jobs.pop(job.id) is job

        ids = self.some(picks)
        return Plan(partial(self.store.remove, ids), equal(self.wish("remove", ids, move)))

    def pause(self, queue: str) -> Plan:
        self.paused.add(queue)
        return Plan(partial(self.store.pause, queue, self.now), equal(None))

    def resume(self, queue: str) -> Plan:
        self.paused.discard(queue)
        return Plan(partial(self.store.resume, queue), equal(None))
