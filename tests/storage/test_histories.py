"""Generated histories: whatever happens in whatever order, the store agrees with a small model.

The model is the promise in thirty lines: a job is a few numbers, a lease is a token. After every
step of a history the rows must be what the model says, every change must be in TRANSITIONS, and the
counters must equal a recount.
"""

import itertools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trio_jobs.job import CRASHES_ALLOWED, TRANSITIONS, Event, State
from trio_jobs.storage.records import Claimed, Lease

from ..conftest import EPOCH
from .conftest import SqliteBackend
from .jobs import VERDICTS, new_job, settlement

HISTORIES = 600
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
    ),
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

    @property
    def row(self) -> tuple[Any, ...]:
        return (
            self.state,
            self.attempt,
            self.crashes,
            self.run_at,
            self.token,
            self.expires_at,
        )


ROW = "state, attempt, crashes, run_at, lease_token, lease_expires_at"


@dataclass
class World:
    """A store, the model of it, and every lease that was ever given."""

    store: Any
    backend: SqliteBackend
    now: float = EPOCH
    jobs: dict[str, Known] = field(default_factory=dict)
    leases: list[Lease] = field(default_factory=list)

    def held(self) -> list[Lease]:
        return [lease for lease in self.leases if self.jobs[lease.id].token == lease.token]

    def lost(self) -> list[Lease]:
        return [lease for lease in self.leases if self.jobs[lease.id].token != lease.token]

    # ── steps ─────────────────────────────────────────────────────────────────────────────────

    async def enqueue(self, shapes: list[tuple[str, str, int, float]]) -> None:
        batch = []
        for queue, type_, priority, delay in shapes:
            state = State.SCHEDULED if delay > 0 else State.QUEUED
            job = new_job(
                queue=queue, type=type_, priority=priority, state=state, run_at=self.now + delay
            )
            seq = len(self.jobs)
            self.jobs[job.id] = Known(queue, type_, priority, self.now + delay, seq, state)
            batch.append(job)
        await self.store.enqueue(batch)

    async def claim(
        self, worker: str, types: tuple[str, ...], limit: int, seconds: float, last_chance: bool
    ) -> None:
        worker = self.store.identity if worker == "me" else worker
        ready = sorted(
            (-job.priority, job.run_at, job.seq, job.crashes, id_)
            for id_, job in self.jobs.items()
            if job.state is State.QUEUED and job.type in types
        )
        suspects = [key for key in ready if key[3] == CRASHES_ALLOWED - 1][:last_chance]
        others = [key for key in ready if key[3] < CRASHES_ALLOWED - 1]
        wanted = sorted(suspects + others[: limit - len(suspects)])
        expires_at = self.now + seconds
        claimed: list[Claimed] = await self.store.claim(
            worker, types, limit, self.now, expires_at, last_chance
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
        job.state = verdict.state
        job.attempt -= not verdict.charged
        job.run_at = job.run_at if verdict.run_at is None else verdict.run_at
        job.token = job.expires_at = None

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
        rows = self.backend.rows("state")
        gone = [job for job in due if rows[job.seq] == (State.QUEUED,)]
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
                poison = job.crashes >= CRASHES_ALLOWED
                job.state = State.FAILED if poison else State.QUEUED
                job.token = job.expires_at = None
                quarantined += poison
                requeued += not poison
        assert await self.store.rescue(self.now, 1_000) == (requeued, quarantined)

    # ── the law ───────────────────────────────────────────────────────────────────────────────

    def check(self, before: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The rows now, when all is well."""
        rows = self.backend.rows(ROW)
        assert rows == [job.row for job in self.jobs.values()]
        for (was, *_), (is_, *_) in zip(before, rows, strict=False):
            assert is_ == was or State(is_) in TRANSITIONS[State(was)].values()
        tokens = [row[4] for row in rows if row[4] is not None]
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
                rows = world.check(rows)
                assert await store.counts() == backend.recount()


@settings(max_examples=HISTORIES, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=5, max_size=25))
def test_no_history_breaks_a_promise(history: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(
            live, [("enqueue", [("a", "x", 0, 0.0)] * 2), *history], Path(directory), clock=clock
        )


def test_the_model_would_notice_a_lost_job() -> None:
    """The audit's own test: a planted loss must be found."""

    async def lose() -> None:
        with tempfile.TemporaryDirectory() as directory:
            backend = SqliteBackend(Path(directory))
            async with backend.open() as store:
                world = World(store, backend)
                await world.enqueue([("a", "x", 0, 0.0), ("a", "x", 0, 0.0)])
                backend.audit().execute("delete from jobs where seq = 2")
                assert await store.counts() != backend.recount()
                try:
                    world.check([])
                except AssertionError:
                    return
                raise RuntimeError("the loss was not noticed")

    trio.run(lose)
