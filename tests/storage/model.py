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
    Claimed,
    Enqueued,
    Key,
    Lease,
    LogLine,
    NewJob,
    Progress,
    Report,
)
from trio_jobs.storage.wishes import Amendment, Moved

from ..conftest import EPOCH
from .jobs import VERDICTS, new_job, settlement

WAITING = (State.SCHEDULED, State.QUEUED)
WORKERS = ("me", "remote-1", "process-dead")
ROW = """id, state, reason, attempt, crashes, queue, priority, run_at, deadline, lease_token,
  lease_expires_at, cancel_requested_at, finished_at, version, progress is not null, type,
  unique_key, case when unique_until > NOW then unique_until end,
  (select BODY from payloads as p where p.seq = jobs.seq)"""


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
    backend: Any
    now: float = EPOCH
    jobs: dict[str, Known] = field(default_factory=dict)  # by age
    leases: list[Lease] = field(default_factory=list)
    keys: dict[str, tuple[Key, list[str]]] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    limits: dict[str, int] = field(default_factory=dict)
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

    def limit(self, queue: str, most: int | None) -> Plan:
        self.limits.pop(queue, None)
        if most is not None:
            self.limits[queue] = most
        return Plan(partial(self.store.limit, queue, most), equal(None))

    # ── asked by workers ──────────────────────────────────────────────────────────────────────

    def claim(
        self,
        worker: str,
        types: Sequence[str],
        limit: int,
        seconds: float,
        last_chance: bool,
        queues: Mapping[str, int] | None = None,
    ) -> Plan:
        worker = self.store.identity if worker == "me" else worker
        ready = [
            job
            for job in self.jobs.values()
            if job.state is State.QUEUED and job.type in types and job.queue not in self.paused
        ]
        ready.sort(key=lambda job: (-job.priority, job.run_at))  # stable: by age among equals
        room = {"*": limit} if queues is None else dict(queues)
        running = [job.queue for job in self.jobs.values() if job.state is State.RUNNING]
        left = {queue: most - running.count(queue) for queue, most in self.limits.items()}
        taken: list[Known] = []

        def take(candidates: Iterable[Known], most: int) -> None:
            for job in candidates:
                share = job.queue if job.queue in room else "*"
                mine = left.get(job.queue, limit)
                if len(taken) < most and room.get(share, 0) > 0 and mine > 0:
                    room[share] -= 1
                    left[job.queue] = mine - 1
                    taken.append(job)

        take((job for job in ready if job.crashes == CRASHES_ALLOWED - 1), int(last_chance))
        take((job for job in ready if job.crashes < CRASHES_ALLOWED - 1), limit)
        taken.sort(key=ready.index)
        expires_at = self.now + seconds
        for job in taken:
            self.move(job, Event.CLAIM)
            job.attempt += 1
            job.worker, job.expires_at, job.progress = worker, expires_at, False
        expected = [
            (job.id, job.attempt, job.payload, job.deadline, job.queue in self.limits)
            for job in taken
        ]

        def judge(claimed: list[Claimed]) -> None:
            found = [
                (job.id, job.attempt, job.payload_text, job.deadline, job.is_limited)
                for job in claimed
            ]
            assert found == expected
            for job, known in zip(claimed, taken, strict=True):
                known.token = job.lease_token
                assert job.lease not in self.leases, "a token was given twice"
                self.leases.append(job.lease)

        call = partial(self.store.claim, worker, types, limit, self.now, expires_at, last_chance)
        return Plan(partial(call, queues), judge)

    def settled(self, lease: Lease, event: Event) -> None:
        verdict, job = VERDICTS[event](self.now), self.jobs[lease.id]
        job.attempt -= not verdict.charged
        job.run_at = job.run_at if verdict.run_at is None else verdict.run_at
        if job.stopping is not None and not verdict.state.final:
            self.move(job, Event.CANCEL, "cancelled")
        else:
            self.move(job, event, verdict.reason)

    def settle(self, choices: Sequence[tuple[int, Event, int]]) -> Plan:
        """Of each: whose verdict, which, and how many last lines come with it."""
        held, chosen = self.held(), {}
        for pick, event, lines in choices if held else ():
            lease = held[pick % len(held)]
            chosen[lease.id] = lease, event, lines
        reports = [self.said(lease, False, lines) for lease, _, lines in chosen.values() if lines]
        for lease, event, _ in chosen.values():
            self.settled(lease, event)
        batch = [settlement(lease, event, self.now) for lease, event, _ in chosen.values()]
        return Plan(partial(self.store.settle, batch, self.now, reports), equal(set(chosen)))

    def settle_late(self, pick: int, event: Event) -> Plan | None:
        return self.late(pick, lambda lease: partial(
            self.store.settle, [settlement(lease, event, self.now)], self.now,
            [Report(lease.id, lease.token, Progress(1), [LogLine(self.now, "INFO", "late")])],
        ))  # fmt: skip

    def extend_late(self, pick: int) -> Plan | None:
        return self.late(pick, lambda lease: partial(self.store.extend, [lease], self.now + 999))

    def report_late(self, pick: int) -> Plan | None:
        said = [LogLine(self.now, "INFO", "late")]
        return self.late(pick, lambda lease: partial(
            self.store.report, [Report(lease.id, lease.token, Progress(1), said)], self.now
        ))  # fmt: skip

    def late(self, pick: int, call: Callable[[Lease], Callable[[], Any]]) -> Plan | None:
        """What comes from a worker that has lost its lease: nobody listens."""
        lost = self.lost()
        return Plan(call(lost[pick % len(lost)]), equal(set())) if lost else None

    def extend(self, pick: int, seconds: float) -> Plan | None:
        if not (held := self.held()):
            return None
        lease = held[pick % len(held)]
        self.jobs[lease.id].expires_at = self.now + seconds
        return Plan(partial(self.store.extend, [lease], self.now + seconds), equal({lease.id}))

    def report(self, pick: int, progress: bool, lines: int) -> Plan | None:
        if not (held := self.held()):
            return None
        lease = held[pick % len(held)]
        reports = [self.said(lease, progress, lines)]
        return Plan(partial(self.store.report, reports, self.now), equal({lease.id}))

    def said(self, lease: Lease, progress: bool, lines: int) -> Report:
        job = self.jobs[lease.id]
        said = [LogLine(self.now, "INFO", "line", job.attempt)] * lines
        job.lines += lines
        if lines:
            self.tell(job, "log")
        if progress:
            job.progress = True
            job.version += 1
            self.tell(job, "progress")
        return Report(lease.id, lease.token, Progress(1) if progress else None, said)

    # ── upkeep ────────────────────────────────────────────────────────────────────────────────

    def promote(self, limit: int) -> Plan:
        def is_due(job: Known) -> bool:
            return job.state is State.SCHEDULED and job.run_at <= self.now

        def judge(answer: tuple[int, float | None]) -> None:
            for job in self.gone(is_due, lambda job: job.run_at, limit, State.QUEUED):
                self.move(job, Event.PROMOTE)
            rest = [job.run_at for job in self.jobs.values() if job.state is State.SCHEDULED]
            assert answer == (moved, min(rest, default=None))

        moved = min(limit, sum(map(is_due, self.jobs.values())))
        return Plan(partial(self.store.promote, self.now, limit), judge)

    def expire(self, limit: int) -> Plan:
        def deadline(job: Known) -> float:
            waits = job.state in WAITING and job.deadline is not None
            return job.deadline if waits and job.deadline else UNTIL_FINISHED

        def is_over(job: Known) -> bool:
            return deadline(job) <= self.now

        def judge(answer: tuple[int, float | None]) -> None:
            for job in self.gone(is_over, deadline, limit, State.CANCELLED):
                self.move(job, Event.CANCEL, "deadline")
            rest = [deadline(job) for job in self.jobs.values() if deadline(job) < UNTIL_FINISHED]
            assert answer == (moved, min(rest, default=None))

        moved = min(limit, sum(map(is_over, self.jobs.values())))
        return Plan(partial(self.store.expire, self.now, limit), judge)

    def prune(self, rules: Mapping[tuple[str | None, State], float], limit: int) -> Plan:
        """Of each (type, state): how long ago they must have finished."""

        def is_over(job: Known) -> bool:
            age = rules.get((job.type, job.state), rules.get((None, job.state)))
            held = job.until is not None and job.until > self.now
            return not held and age is not None and (job.finished_at or 0) <= self.now - age

        def judge(answer: int) -> None:
            assert answer == moved
            for job in self.gone(is_over, lambda _: 0, limit, None):
                del self.jobs[job.id]

        cutoffs = [(type_, state, self.now - age) for (type_, state), age in rules.items()]
        moved = min(limit, sum(map(is_over, self.jobs.values())))
        return Plan(partial(self.store.prune, cutoffs, self.now, limit), judge)

    def gone(
        self,
        may: Callable[[Known], bool],
        urgency: Callable[[Known], float],
        limit: int,
        to: State | None,
    ) -> list[Known]:
        """Those that the store has moved on. Among equals that is its choice: ask the rows."""
        rows = dict(self.backend.rows("id, state"))
        those = sorted(filter(may, self.jobs.values()), key=urgency)
        gone = [job for job in those if rows.get(job.id) == to]
        assert list(map(urgency, gone)) == list(map(urgency, those[:limit]))
        return gone

    def rescue(self) -> Plan:
        requeued = quarantined = 0
        for job in self.jobs.values():
            if job.state is not State.RUNNING:
                continue
            assert job.worker is not None
            assert job.expires_at is not None
            dead = self.backend.knows_the_dead and (
                job.worker.startswith("process-") and job.worker != self.store.identity
            )
            if not dead and job.expires_at > self.now:
                continue
            job.attempt -= 1
            job.crashes += 1
            if job.stopping is not None:
                self.move(job, Event.CANCEL, "cancelled")
            elif job.crashes >= CRASHES_ALLOWED:
                self.move(job, Event.QUARANTINE, "poison")
                quarantined += 1
            else:
                self.move(job, Event.RESCUE, "lease_lost")
                requeued += 1
        return Plan(partial(self.store.rescue, self.now, 1_000), equal((requeued, quarantined)))

    # ── time, and several at once ─────────────────────────────────────────────────────────────

    async def take(self, name: str, *args: Any) -> None:
        """One step, and the law after it."""
        if name == "pass":
            self.now += args[0]
        elif name in ("together", "rivals"):
            await getattr(self, name)(*args)
        elif plan := getattr(self, name.replace(" ", "_"))(*args):
            plan.judge(await answer_of(plan.call))
        await self.check()

    async def together(self, steps: Sequence[tuple[Any, ...]]) -> None:
        """`steps` in one transaction; they come in the order in which it takes them."""
        plans = [getattr(self, name)(*args) for name, *args in steps]
        answers: list[Any] = [None] * len(plans)

        async def ask(at: int) -> None:
            answers[at] = await answer_of(plans[at].call)

        async with trio.open_nursery() as nursery:
            for at in range(len(plans)):
                nursery.start_soon(ask, at)
        for plan, answer in zip(plans, answers, strict=True):
            plan.judge(answer)

    async def rivals(self, pick: int, one: Event, other: Event, late: int) -> None:
        """Two verdicts under one lease and one from a worker that lost it, in one transaction."""
        if not (held := self.held()):
            return
        lease = held[pick % len(held)]
        stale = [old for old in self.lost() if old.id == lease.id]
        calls = [(lease, one), (lease, other)]
        calls += [(stale[late % len(stale)], Event.SUCCEED)] if stale else []
        accepted: list[Event] = []

        async def settle(by: Lease, event: Event) -> None:
            if await self.store.settle([settlement(by, event, self.now)], self.now):
                assert by is lease, "a stale completion was accepted"
                accepted.append(event)

        async with trio.open_nursery() as nursery:
            for call in calls:
                nursery.start_soon(settle, *call)
        assert len(accepted) == 1
        self.settled(lease, accepted[0])

    # ── the law ───────────────────────────────────────────────────────────────────────────────

    async def check(self) -> None:
        """Raises AssertionError where the store is not as the model, or breaks a promise."""
        rows = self.backend.rows(
            ROW.replace("NOW", repr(self.now)).replace("BODY", self.backend.body)
        )
        for job in self.jobs.values():
            if job.until is not None and job.until <= self.now:
                job.until = None  # a key that has run out is not held, whoever has its row
        assert rows == [job.row for job in self.jobs.values()]
        tokens = [row[9] for row in rows if row[9] is not None]
        assert len(tokens) == len(set(tokens)), "two jobs share a lease"
        holders = [(row[15], row[16]) for row in rows if row[17] is not None]
        assert len(holders) == len(set(holders)), "two jobs hold a key"
        assert await self.store.counts() == self.backend.recount()
        await self.watch()

    async def watch(self) -> None:
        """What is told is what has happened, of each job in its order; no move was illegal."""
        changes, last, more, complete = await self.store.changes(self.last, 1_000)
        assert (more, complete) == (False, True)
        news = [(change.id, change.event, change.reason) for change in changes]
        told = [change for change in self.told if change[0] in self.jobs]
        assert sorted(news, key=lambda change: change[0]) == sorted(told, key=lambda c: c[0])
        assert sorted({change.seq for change in changes}) == [change.seq for change in changes]
        for id_, event, _ in news:
            if event in set(State):
                was = self.stands.get(id_)
                assert was is None or event in TRANSITIONS[State(was)].values()
                self.stands[id_] = event
        assert all(self.stands[job.id] == job.state for job in self.jobs.values())
        self.seen += news
        self.told.clear()
        self.last = last

    async def look(self) -> None:
        """All the store can tell, once more: jobs, lines, requests to stop, and every change."""
        found = await self.store.get(list(self.jobs))
        assert {id_: (job.state, job.attempt) for id_, job in found.items()} == {
            job.id: (job.state, job.attempt) for job in self.jobs.values()
        }
        for job in self.jobs.values():
            lines = await self.store.logs(job.id, 0, 1_000)
            assert [line.n for line in lines] == list(range(1, job.lines + 1))
        for worker in {job.worker for job in self.jobs.values()} - {None}:
            stopping = {
                (job.id, job.token)
                for job in self.jobs.values()
                if job.token is not None and job.stopping is not None and job.worker == worker
            }
            asked = [(lease.id, lease.token) for lease in await self.store.cancels(worker)]
            assert sorted(asked) == sorted(stopping)
        queues = await self.store.queues()
        assert {queue.name for queue in queues if queue.paused_at is not None} == self.paused
        assert {queue.name: queue.limit for queue in queues if queue.limit} == self.limits
        told, at, more = [], 0, True
        while more:
            changes, at, more, _ = await self.store.changes(at, 9)
            told += [(change.id, change.event, change.reason) for change in changes]
        assert told == [change for change in self.seen if change[0] in self.jobs]
