"""Generated histories: whatever happens in whatever order, the store agrees with a small model.

The model is the promise in few lines: a job is a few numbers, a lease is a token. After every step
of a history the rows must be what the model says, every change must be in TRANSITIONS and in the
log of changes, a unique key has one holder, and the counters must equal a recount.

`scripts/test -m slow` lives through 10,000 histories more; HISTORIES says how many.
"""

import itertools
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
from .conftest import SqliteBackend
from .jobs import VERDICTS, new_job, settlement

HISTORIES = 600
MANY = int(os.environ.get("HISTORIES", "10000"))
WAITING = (State.SCHEDULED, State.QUEUED)
QUEUES = ("a", "b")
TYPES = ("x", "y")

Step = tuple[Any, ...]
picks = st.integers(0, 50)
events = st.sampled_from(sorted(VERDICTS))
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(
        st.just("enqueue"),
        st.lists(
            st.tuples(
                st.sampled_from(QUEUES),
                st.sampled_from(TYPES),
                st.integers(-1, 1),
                st.sampled_from([-5.0, 0.0, 0.0, 20.0]),
                st.sampled_from([None, None, 15.0, 60.0]),
            ),
            min_size=1,
            max_size=4,
        ),
    ),
    st.tuples(
        st.just("claim"),
        st.sampled_from(["me", "remote-1", "process-dead"]),
        st.sampled_from([TYPES, TYPES, ("x",)]),
        st.integers(1, 4),
        st.sampled_from([10.0, 30.0]),
        st.booleans(),
        st.sampled_from([None, None, {"a": 1}, {"a": 1, "*": 2}, {"b": 0, "*": 1}, {}]),
    ),
    st.tuples(
        st.just("enqueue once"),
        st.sampled_from(TYPES),
        st.sampled_from(["return", "replace", "reject"]),
        st.sampled_from([None, None, 25.0]),
        st.sampled_from([0.0, 20.0]),
    ),
    st.tuples(st.just("send"), st.sampled_from(["k", "l"]), st.sampled_from(["f", "f", "g"])),
    st.tuples(st.just("cancel"), st.lists(picks, min_size=1, max_size=4)),
    st.tuples(st.just("retry"), picks),
    st.tuples(
        st.just("amend"),
        picks,
        st.sampled_from([None, -1.0, 15.0]),
        st.sampled_from([None, 1]),
        st.sampled_from([None, *QUEUES]),
    ),
    st.tuples(st.just("remove"), st.lists(picks, min_size=1, max_size=3)),
    st.tuples(st.just("expire")),
    st.tuples(st.just("pause"), st.sampled_from(QUEUES)),
    st.tuples(st.just("resume"), st.sampled_from(QUEUES)),
    st.tuples(st.just("prune"), st.sampled_from([0.0, 30.0])),
    st.tuples(st.just("report"), picks, st.booleans()),
    st.tuples(st.just("settle"), st.lists(st.tuples(picks, events), min_size=1, max_size=3)),
    st.tuples(st.just("settle late"), picks, events),
    st.tuples(st.just("settle at once"), picks, events, events, picks),
    st.tuples(st.just("extend"), picks, st.floats(1, 60)),
    st.tuples(st.just("extend late"), picks),
    st.tuples(st.just("promote"), st.integers(1, 3)),
    st.tuples(st.just("rescue")),
    st.tuples(st.just("pass"), st.sampled_from([0.5, 10.0, 30.0, 90.0])),
    st.tuples(st.just("reopen")),
)


@dataclass
class Known:
    """A job, as the model knows it."""

    queue: str
    type: str
    priority: int
    run_at: float
    seq: int
    state: State
    attempt: int = 0
    crashes: int = 0
    worker: str | None = None
    token: int | None = None
    expires_at: float | None = None
    deadline: float | None = None
    unique_until: float | None = None
    asked: bool = False
    finished_at: float | None = None

    def end(self, state: State, now: float) -> None:
        self.state = state
        self.token = self.expires_at = None
        if state.final:
            self.finished_at = now
            if self.unique_until == UNTIL_FINISHED:
                self.unique_until = None

    def row(self, now: float) -> tuple[Any, ...]:
        held = self.unique_until is not None and self.unique_until > now
        return (
            self.state,
            self.attempt,
            self.crashes,
            self.run_at,
            self.token,
            self.expires_at,
            self.queue,
            self.deadline,
            self.finished_at,
            self.asked,
            self.unique_until if held else None,
        )


ROW = "id, state, attempt, crashes, run_at, lease_token, lease_expires_at"
ROW += ", queue, deadline, finished_at, cancel_requested_at is not null"


@dataclass
class World:
    """A store, the model of it, and every lease that was ever given."""

    store: Any
    backend: SqliteBackend
    now: float = EPOCH
    jobs: dict[str, Known] = field(default_factory=dict)
    leases: list[Lease] = field(default_factory=list)
    keys: dict[str, tuple[str, str, float]] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    seen: int = 0
    born: int = 0

    def one(self, pick: int) -> tuple[str, Known] | None:
        known = list(self.jobs.items())
        return known[pick % len(known)] if known else None

    def held(self) -> list[Lease]:
        return [lease for lease in self.leases if self.token(lease) == lease.token]

    def lost(self) -> list[Lease]:
        return [lease for lease in self.leases if self.token(lease) != lease.token]

    def token(self, lease: Lease) -> int | None:
        return self.jobs[lease.id].token if lease.id in self.jobs else None

    # ── steps ─────────────────────────────────────────────────────────────────────────────────

    def add(self, job: NewJob) -> None:
        self.jobs[job.id] = Known(
            job.queue, job.type, job.priority, job.run_at, self.born, job.state,
            deadline=job.deadline, unique_until=job.unique_until,
        )  # fmt: skip
        self.born += 1

    def made(self, delay: float, **options: Any) -> NewJob:
        state = State.SCHEDULED if delay > 0 else State.QUEUED
        return new_job(state=state, created_at=self.now, run_at=self.now + delay, **options)

    async def enqueue(self, shapes: list[tuple[str, str, int, float, float | None]]) -> None:
        batch = [
            self.made(delay, queue=queue, type=type_, priority=priority,
                      deadline=None if patience is None else self.now + patience)
            for queue, type_, priority, delay, patience in shapes
        ]  # fmt: skip
        assert await self.store.enqueue(batch) == Enqueued([job.id for job in batch])
        for job in batch:
            self.add(job)

    async def enqueue_once(
        self, type_: str, on_conflict: str, unique_for: float | None, delay: float
    ) -> None:
        until = UNTIL_FINISHED if unique_for is None else self.now + unique_for
        job = self.made(
            delay, queue="a", type=type_, priority=1, unique_key="u", unique_until=until,
            on_conflict=on_conflict,
        )  # fmt: skip
        holders = [
            (id_, known) for id_, known in self.jobs.items()
            if known.type == type_ and known.unique_until is not None
            and known.unique_until > self.now
        ]  # fmt: skip
        for known in self.jobs.values():
            if known.type == type_ and (known.unique_until or UNTIL_FINISHED) <= self.now:
                known.unique_until = None
        assert len(holders) <= 1
        if not holders:
            assert await self.store.enqueue([job]) == Enqueued([job.id])
            self.add(job)
            return
        [(id_, holder)] = holders
        if on_conflict == "reject" or (on_conflict == "replace" and holder.state not in WAITING):
            with pytest.raises(Conflict):
                await self.store.enqueue([job])
            # The refused transaction has released no key either; the next one will.
            return
        assert await self.store.enqueue([job]) == Enqueued([id_])
        if on_conflict == "replace":
            holder.state, holder.run_at, holder.priority = job.state, job.run_at, job.priority

    async def send(self, key: str, fingerprint: str) -> None:
        """A request with an idempotency key, good for 40 seconds."""
        job = self.made(0.0, queue="b", type="y")
        same = Key(key, fingerprint, self.now + 40)
        known = self.keys.get(key)
        if known is None or known[2] <= self.now:
            assert await self.store.enqueue([job], same) == Enqueued([job.id])
            self.keys[key] = (fingerprint, job.id, self.now + 40)
            self.add(job)
        elif known[0] == fingerprint:
            assert await self.store.enqueue([job], same) == Enqueued([known[1]], replayed=True)
        else:
            with pytest.raises(KeyReused):
                await self.store.enqueue([job], same)

    async def cancel(self, choices: list[int]) -> None:
        chosen = dict(found for pick in choices if (found := self.one(pick)))
        expected = {}
        for id_, job in chosen.items():
            was = job.state
            if was in WAITING:
                job.end(State.CANCELLED, self.now)
            elif was is State.RUNNING:
                job.asked = True
            expected[id_] = Moved(was, job.state, not was.final)
        assert await self.store.cancel([*chosen, "nobody"], self.now) == expected

    async def retry(self, pick: int) -> None:
        if (found := self.one(pick)) is None:
            return
        id_, job = found
        was, unique = job.state, await self.unique_key(id_)
        taken = unique and any(
            other is not job and other.type == job.type
            and other.unique_until is not None and other.unique_until > self.now
            for other in self.jobs.values()
        )  # fmt: skip
        done = was.final and not taken
        moved = await self.store.retry([id_], self.now)
        assert moved == {id_: Moved(was, State.QUEUED if done else was, done)}
        if done:
            held = job.unique_until is not None and job.unique_until > self.now
            job.state, job.attempt, job.crashes = State.QUEUED, 0, 0
            job.run_at, job.finished_at, job.asked = self.now, None, False
            job.unique_until = (job.unique_until if held else UNTIL_FINISHED) if unique else None
            if job.deadline is not None and job.deadline <= self.now:
                job.deadline = None

    async def unique_key(self, id_: str) -> bool:
        return (await self.store.get([id_]))[id_].unique_key is not None

    async def amend(
        self, pick: int, delay: float | None, priority: int | None, queue: str | None
    ) -> None:
        if (found := self.one(pick)) is None:
            return
        id_, job = found
        was, run_at = job.state, None if delay is None else self.now + delay
        done = was in WAITING
        if done:
            job.run_at = job.run_at if run_at is None else run_at
            if run_at is not None:
                job.state = State.SCHEDULED if run_at > self.now else State.QUEUED
            job.priority = job.priority if priority is None else priority
            job.queue = queue or job.queue
        change = Amendment(id_, run_at=run_at, priority=priority, queue=queue)
        assert await self.store.amend([change], self.now) == {id_: Moved(was, job.state, done)}

    async def remove(self, choices: list[int]) -> None:
        chosen = dict(found for pick in choices if (found := self.one(pick)))
        expected = {
            id_: Moved(job.state, None if job.state.final else job.state, job.state.final)
            for id_, job in chosen.items()
        }
        assert await self.store.remove(list(chosen)) == expected
        for id_, job in chosen.items():
            if job.state.final:
                del self.jobs[id_]

    async def expire(self) -> None:
        waiting = [j for j in self.jobs.values() if j.deadline is not None and j.state in WAITING]
        over = [job for job in waiting if job.deadline <= self.now]  # type: ignore[operator]
        for job in over:
            job.end(State.CANCELLED, self.now)
        left = [job.deadline for job in waiting if job.state in WAITING]
        assert await self.store.expire(self.now, 1_000) == (len(over), min(left, default=None))

    async def pause(self, queue: str) -> None:
        self.paused.add(queue)
        await self.store.pause(queue, self.now)

    async def resume(self, queue: str) -> None:
        self.paused.discard(queue)
        await self.store.resume(queue)

    async def prune(self, age: float) -> None:
        gone = [
            id_ for id_, job in self.jobs.items()
            if job.finished_at is not None and job.finished_at <= self.now - age
            and (job.unique_until is None or job.unique_until <= self.now)
        ]  # fmt: skip
        cutoffs = [(None, state, self.now - age) for state in State if state.final]
        assert await self.store.prune(cutoffs, self.now, 1_000) == len(gone)
        for id_ in gone:
            del self.jobs[id_]

    async def report(self, pick: int, late: bool) -> None:
        leases = self.lost() if late else self.held()
        if leases:
            id_, token = (lease := leases[pick % len(leases)]).id, lease.token
            said = Report(id_, token, Progress(1, 2), [LogLine(self.now, "INFO", "x", 1)])
            assert await self.store.report([said], self.now) == (set() if late else {id_})

    async def claim(
        self,
        worker: str,
        types: tuple[str, ...],
        limit: int,
        seconds: float,
        last_chance: bool,
        queues: dict[str, int] | None,
    ) -> None:
        worker = self.store.identity if worker == "me" else worker
        ready = sorted(
            (-job.priority, job.run_at, job.seq, job.crashes, id_)
            for id_, job in self.jobs.items()
            if job.state is State.QUEUED and job.type in types and job.queue not in self.paused
        )
        left = {"*": limit} if queues is None else {"*": 0, **queues}

        def fits(key: tuple[Any, ...]) -> bool:
            queue = self.jobs[key[-1]].queue
            share = queue if queue in left else "*"
            left[share] -= 1
            return left[share] >= 0

        suspects = [key for key in ready if key[3] == CRASHES_ALLOWED - 1]
        may = {"*": limit} if queues is None else {"*": 0, **queues}
        suspects = [
            key for key in suspects
            if last_chance and may.get(self.jobs[key[-1]].queue, may["*"]) > 0
        ][:1]  # fmt: skip
        chosen = [key for key in suspects if fits(key)]
        chosen += [key for key in ready if key[3] < CRASHES_ALLOWED - 1 and fits(key)]
        wanted = sorted(chosen[:limit])
        expires_at = self.now + seconds
        claimed: list[Claimed] = await self.store.claim(
            worker, types, limit, self.now, expires_at, last_chance, queues
        )
        assert [job.id for job in claimed] == [key[-1] for key in wanted]
        for job in claimed:
            known = self.jobs[job.id]
            known.state, known.worker, known.expires_at = State.RUNNING, worker, expires_at
            known.attempt += 1
            known.token = job.lease_token
            assert job.attempt == known.attempt
            assert job.lease not in self.leases, "a token was given twice"
            self.leases.append(job.lease)

    def settled(self, lease: Lease, event: Event) -> None:
        verdict, job = VERDICTS[event](self.now), self.jobs[lease.id]
        state = State.CANCELLED if job.asked and verdict.state in WAITING else verdict.state
        job.attempt -= not verdict.charged
        job.run_at = job.run_at if verdict.run_at is None else verdict.run_at
        job.end(state, self.now)

    async def settle(self, choices: list[tuple[int, Event]]) -> None:
        held = self.held()
        chosen = {held[pick % len(held)].id: (held[pick % len(held)], event)
                  for pick, event in choices if held}  # fmt: skip
        batch = [settlement(lease, event, self.now) for lease, event in chosen.values()]
        assert await self.store.settle(batch, self.now) == set(chosen)
        for lease, event in chosen.values():
            self.settled(lease, event)

    async def settle_late(self, pick: int, event: Event) -> None:
        if lost := self.lost():
            late = settlement(lost[pick % len(lost)], event, self.now)
            assert await self.store.settle([late], self.now) == set()

    async def settle_at_once(self, pick: int, one: Event, other: Event, late: int) -> None:
        """Two verdicts under one lease and one from a worker that lost it, in one transaction."""
        held = self.held()
        if not held:
            return
        lease = held[pick % len(held)]
        stale = [old for old in self.lost() if old.id == lease.id]
        calls = [(lease, one), (lease, other)]
        calls += [(stale[late % len(stale)], Event.SUCCEED)] if stale else []
        accepted: list[Event] = []

        async def settle(lease: Lease, event: Event) -> None:
            if await self.store.settle([settlement(lease, event, self.now)], self.now):
                assert lease is held[pick % len(held)], "a stale completion was accepted"
                accepted.append(event)

        async with trio.open_nursery() as nursery:
            for call in calls:
                nursery.start_soon(settle, *call)
        assert len(accepted) == 1
        self.settled(lease, accepted[0])

    async def extend(self, pick: int, seconds: float) -> None:
        if held := self.held():
            lease = held[pick % len(held)]
            assert await self.store.extend([lease], self.now + seconds) == {lease.id}
            self.jobs[lease.id].expires_at = self.now + seconds

    async def extend_late(self, pick: int) -> None:
        if lost := self.lost():
            assert await self.store.extend([lost[pick % len(lost)]], self.now + 999) == set()

    async def promote(self, limit: int) -> None:
        scheduled = [job for job in self.jobs.values() if job.state is State.SCHEDULED]
        due = sorted((job for job in scheduled if job.run_at <= self.now), key=lambda j: j.run_at)
        moved, next_due = await self.store.promote(self.now, limit)
        assert moved == min(limit, len(due))
        # Which of those with the same run_at go first is nobody's promise: ask the rows.
        rows = dict(self.backend.rows("id, state"))
        gone = [job for id_, job in self.jobs.items() if job in due and rows[id_] == State.QUEUED]
        assert sorted(job.run_at for job in gone) == [job.run_at for job in due[:moved]]
        for job in gone:
            job.state = State.QUEUED
        waiting = [job.run_at for job in scheduled if job.state is State.SCHEDULED]
        assert next_due == min(waiting, default=None)

    async def rescue(self) -> None:
        requeued = quarantined = 0
        for job in self.jobs.values():
            if job.state is not State.RUNNING:
                continue
            assert job.worker is not None
            assert job.expires_at is not None
            dead = job.worker.startswith("process-") and job.worker != self.store.identity
            if dead or job.expires_at <= self.now:
                job.attempt -= 1
                job.crashes += 1
                poison = job.crashes >= CRASHES_ALLOWED and not job.asked
                if job.asked:
                    job.end(State.CANCELLED, self.now)
                else:
                    job.end(State.FAILED if poison else State.QUEUED, self.now)
                quarantined += poison
                requeued += job.state is State.QUEUED
        assert await self.store.rescue(self.now, 1_000) == (requeued, quarantined)

    # ── the law ───────────────────────────────────────────────────────────────────────────────

    async def check(self, before: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The rows now, when all is well."""
        held = f"iif(unique_until > {self.now}, unique_until, null)"  # else it is given up any time
        rows = self.backend.rows(f"{ROW}, {held}")
        by_age = sorted(self.jobs.items(), key=lambda item: item[1].seq)
        assert rows == [(id_, *job.row(self.now)) for id_, job in by_age]
        states = {row[0]: State(row[1]) for row in before}
        found = await self.store.changes(self.seen, 1_000)
        assert found.complete
        assert [change.seq for change in found.changes] == sorted(
            change.seq for change in found.changes
        )
        last = {change.id: change.event for change in found.changes if change.event in list(State)}
        for id_, state, *_ in rows:
            assert last.get(id_, states.get(id_)) == state, "a change was not told"
            if id_ in states and state != states[id_]:
                assert State(state) in TRANSITIONS[states[id_]].values()
        self.seen = found.last
        tokens = [row[5] for row in rows if row[5] is not None]
        assert len(tokens) == len(set(tokens)), "two jobs share a lease"
        return rows


async def live(history: list[Step], directory: Path) -> None:
    """Lives through `history` on a database of its own."""
    backend = SqliteBackend(directory)
    world = World(None, backend)
    rows: list[tuple[Any, ...]] = []
    for reopened, part in itertools.groupby(history, lambda step: step[0] == "reopen"):
        if reopened:
            continue
        async with backend.open(durable=False) as store:
            world.store = store
            for name, *args in part:
                if name == "pass":
                    world.now += args[0]
                else:
                    await getattr(world, name.replace(" ", "_"))(*args)
                rows = await world.check(rows)
                assert await store.counts() == backend.recount()


def lived(history: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        clock = trio.testing.MockClock(autojump_threshold=0)
        first = ("enqueue", [("a", "x", 0, 0.0, None)] * 2)
        trio.run(live, [first, *history], Path(directory), clock=clock)


histories = st.lists(steps, min_size=5, max_size=25)
patient = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=HISTORIES, suppress_health_check=patient)
@given(histories)
def test_no_history_breaks_a_promise(history: list[Step]) -> None:
    lived(history)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@settings(max_examples=MANY, derandomize=False, suppress_health_check=patient)
@given(histories)
def test_no_history_of_many_breaks_a_promise(history: list[Step]) -> None:
    """Others on every run."""
    lived(history)


PLANTED = {
    "a job is lost": "delete from jobs where seq = 2",
    "a job comes from nowhere": "update jobs set id = 'other' where seq = 2",
    "a job ends by itself": "update jobs set state = 'done', finished_at = 1 where seq = 2",
    "an attempt is not counted": "update jobs set attempt = 1 where seq = 2",
    "a job is forgotten for an hour": "update jobs set run_at = run_at + 3600 where seq = 2",
    "a key is held by nobody's wish": "update jobs set unique_until = 1e18 where seq = 2",
    "a person's wish is made up": "update jobs set cancel_requested_at = 1 where seq = 2",
    "a change is not told": "delete from changes where seq = 2",
    "a change is told wrongly": "update changes set event = 'done' where seq = 2",
}


@pytest.mark.parametrize("accident", PLANTED.values(), ids=PLANTED)
def test_the_model_would_notice(accident: str) -> None:
    """The audit's own test: what is planted must be found, and nothing where nothing is."""

    async def plant() -> None:
        with tempfile.TemporaryDirectory() as directory:
            backend = SqliteBackend(Path(directory))
            async with backend.open(durable=False) as store:
                world = World(store, backend)
                await world.enqueue([("a", "x", 0, 0.0, None)] * 2)
                world.seen, seen = 0, await world.check([])
                assert len(seen) == 2
                world.seen = 0
                backend.audit().execute(accident)
                with pytest.raises(AssertionError):
                    await world.check([])

    trio.run(plant)
