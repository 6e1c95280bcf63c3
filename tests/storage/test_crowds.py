"""Several calls in one transaction must end as if they had come one after another.

Group commit merges calls of a kind and fixes who goes first. A generated crowd of calls is started
at the same moment on one copy of a database; then in turn, in every order, on other copies, until
one order gives the same answers and leaves the same rows. Where none does, calls got mixed up.

Prune is left out: it looks first and writes later, and what ends in between is for the next one.

`scripts/test -m slow` tries 3,000 crowds more; HISTORIES says how many.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trio_jobs.errors import Conflict
from trio_jobs.job import Event, State
from trio_jobs.storage.records import Claimed, Key, Lease, LogLine, Progress, Report
from trio_jobs.storage.wishes import Amendment

from ..conftest import EPOCH
from ..postgres import Server
from .conftest import PostgresBackend, SqliteBackend
from .jobs import VERDICTS, bring_to, claim, due_in, keyed, new_job, settlement

CROWDS = int(os.environ.get("HISTORIES", "3000"))
NOW = EPOCH + 100
FIRST = ("report", "settle", "rescue", "promote", "expire", "enqueue")
"""A guess at who goes first in a batch: only a matter of how soon the right order is found."""

Call = tuple[str, Any]
Outcome = tuple[list[Any], dict[str, list[Any]]]


class SqliteCopies:
    """Copies of a file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.original = SqliteBackend(directory)

    @contextmanager
    def copy(self) -> Iterator[SqliteBackend]:
        with tempfile.TemporaryDirectory() as directory:
            shutil.copy(self._directory / "jobs.db", directory)
            yield SqliteBackend(Path(directory))

    def rows(self, backend: SqliteBackend) -> dict[str, list[Any]]:
        with closing(apsw.Connection(str(backend.path))) as db:
            return {name: list(db.execute(query)) for name, query in ROWS.items()}


class PostgresCopies:
    """One database, put back to what it was."""

    TABLES = ("jobs", "payloads", "attempts", "counts", "logs", "idempotency_keys", "queues")

    def __init__(self, url: str) -> None:
        self.original = PostgresBackend(url)

    def keep(self) -> None:
        self.original.ask("drop schema if exists kept cascade")
        self.original.ask("create schema kept")
        for table in (*self.TABLES, "changes"):
            self.original.ask(f"create table kept.{table} as select * from {table}")

    @contextmanager
    def copy(self) -> Iterator[PostgresBackend]:
        self.original.clear()
        for table in (*self.TABLES, "changes"):
            self.original.ask(
                f"insert into {table} overriding system value select * from kept.{table}"
            )
        self.original.ask("select setval('job_numbers', (select max(seq) from jobs))")
        yield self.original

    def rows(self, backend: PostgresBackend) -> dict[str, list[Any]]:
        return {name: backend.all(query) for name, query in {**ROWS, **POSTGRES_ROWS}.items()}


Copies = SqliteCopies | PostgresCopies


@dataclass
class Scene:
    """A database with a job of every kind, and what a crowd may ask for."""

    copies: "Copies"
    ids: list[str] = field(default_factory=lambda: ["nobody"], repr=False)
    leases: list[Lease] = field(default_factory=list, repr=False)

    async def build(self) -> None:
        async with self.copies.original.open(durable=False) as store:
            for n, state in enumerate(State):
                if state is not State.WAITING:
                    await self._add(store, state, n)
            asked = await bring_to(store, State.RUNNING, new_job(type="asked"))
            await store.cancel([asked.id], EPOCH)
            lost = await bring_to(store, State.QUEUED, new_job(type="lost", priority=30))
            [again] = await claim(store, 1, "lost")
            later = due_in(900, priority=31)
            late = due_in(50, priority=32, deadline=EPOCH + 60)
            await store.enqueue([later, late], Key("known", "f", EPOCH + 1_000))
            await store.pause("paused", EPOCH)
            await store.enqueue([new_job(queue="paused", priority=33)])
            self.ids += [asked.id, lost.id, later.id, late.id]
            self.leases += [asked.lease, lost.lease, again.lease]

    async def _add(self, store: Any, state: State, n: int) -> None:
        """One without a key, one that holds `u`, and one whose `v` outlives it."""
        for kind, job in enumerate(
            [
                new_job(type=f"plain {n}", priority=n),
                keyed("u", type=f"u {n}", priority=10 + n),
                keyed("v", until=EPOCH + 500, type=f"v {n}", priority=20 + n, queue="other"),
            ]
        ):
            held = await bring_to(store, state, job)
            self.ids.append(held.id)
            self.leases.append(held.lease)
            if kind == 0 and state is State.RUNNING:
                await store.extend([held.lease], NOW + 1)

    def keys(self) -> list[tuple[str, str]]:
        """(type, unique key) that somebody may hold."""
        return [(f"{key} {n}", key) for n in range(len(State)) for key in "uv"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = Scene(SqliteCopies(tmp_path_factory.mktemp("scene")))
    trio.run(scene.build)
    return scene


@pytest.fixture(scope="module")
def postgres_scene(postgres: Server) -> Iterator[Scene]:
    with psycopg.connect(postgres.url(), autocommit=True) as db:
        db.execute("create database crowds")
    copies = PostgresCopies(postgres.url("crowds"))
    scene = Scene(copies)
    trio.run(scene.build)
    copies.keep()
    yield scene
    copies.original.leave()


# ── what a crowd may ask ──────────────────────────────────────────────────────────────────────

TYPES = [f"{kind} {n}" for kind in ("plain", "u", "v") for n in range(len(State))]
TYPES += ["noop", "lost", "asked"]
picks = st.integers(0, 200)
few = st.lists(picks, min_size=1, max_size=3)
calls: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(st.just("cancel"), few),
    st.tuples(st.just("retry"), few),
    st.tuples(st.just("remove"), few),
    st.tuples(
        st.just("amend"),
        picks,
        st.sampled_from([None, 1, 2]),
        st.sampled_from([None, -1.0, 15.0]),
        st.sampled_from([None, "other", "paused"]),
    ),
    st.tuples(st.just("claim"), st.integers(1, 6), st.sampled_from([None, {"other": 1, "*": 2}])),
    st.tuples(st.just("settle"), few, st.sampled_from(sorted(VERDICTS)), st.booleans()),
    st.tuples(st.just("report"), few),
    st.tuples(st.just("extend"), few),
    st.tuples(st.just("promote"), st.integers(1, 3)),
    st.tuples(st.just("expire")),
    st.tuples(st.just("rescue")),
    st.tuples(st.just("pause"), st.sampled_from(["default", "other"])),
    st.tuples(st.just("resume"), st.sampled_from(["default", "paused"])),
    st.tuples(st.just("limit"), st.sampled_from(["default", "other"]), st.sampled_from([None, 1])),
    st.tuples(
        st.just("enqueue"),
        st.sampled_from([None, None, ("known", "f"), ("known", "g"), ("new", "f"), ("new", "g")]),
    ),
    st.tuples(
        st.just("enqueue once"),
        st.lists(
            st.tuples(
                st.integers(0, 2 * len(State) - 1), st.sampled_from(["return", "replace", "reject"])
            ),
            min_size=1,
            max_size=3,
        ),
    ),
)


class Wishes:
    """Shapes made into calls: the verb and its arguments, the same for every copy of the scene."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        # No two alike: who is next does not depend on who came first.
        self._priority = itertools.count(100)
        self._replaced: set[int] = set()
        self._words = itertools.count()

    def calls(self, shapes: Iterable[tuple[Any, ...]]) -> list[Call]:
        return [
            ("enqueue" if name == "enqueue once" else name,
             getattr(self, f"_{name.replace(' ', '_')}")(*args))
            for name, *args in shapes
        ]  # fmt: skip

    def _ids(self, chosen: list[int]) -> list[str]:
        return [pick(self._scene.ids, n) for n in chosen]

    def _leases(self, chosen: list[int]) -> list[Lease]:
        return [pick(self._scene.leases, n) for n in chosen]

    def _said(self, lease: Lease) -> Report:
        n = next(self._words)
        return Report(lease.id, lease.token, Progress(n), [LogLine(NOW, "INFO", f"{n}", 1)])

    def _cancel(self, chosen: list[int]) -> Any:
        return self._ids(chosen), NOW

    _retry = _cancel

    def _remove(self, chosen: list[int]) -> Any:
        return (self._ids(chosen),)

    def _amend(self, n: int, version: int | None, delay: float | None, queue: str | None) -> Any:
        run_at = None if delay is None else NOW + delay
        id_ = pick(self._scene.ids, n)
        return [Amendment(id_, version, run_at, next(self._priority), queue)], NOW

    def _claim(self, limit: int, queues: dict[str, int] | None) -> Any:
        return "me", TYPES, limit, NOW, NOW + 30, True, queues

    def _settle(self, chosen: list[int], event: Event, words: bool) -> Any:
        leases = self._leases(chosen)
        verdicts = [settlement(lease, event, NOW) for lease in leases]
        return verdicts, NOW, [self._said(lease) for lease in leases if words]

    def _report(self, chosen: list[int]) -> Any:
        return [self._said(lease) for lease in self._leases(chosen)], NOW

    def _extend(self, chosen: list[int]) -> Any:
        return self._leases(chosen), NOW + 60

    def _promote(self, limit: int) -> Any:
        return NOW, limit

    def _expire(self) -> Any:
        return NOW, 99

    _rescue = _expire

    def _pause(self, queue: str) -> Any:
        return queue, NOW

    def _resume(self, queue: str) -> Any:
        return (queue,)

    def _limit(self, queue: str, most: int | None) -> Any:
        return queue, most

    def _enqueue(self, key: tuple[str, str] | None) -> Any:
        job = new_job(created_at=NOW, run_at=NOW, priority=next(self._priority))
        return [job], None if key is None else Key(*key, NOW + 500)

    def _enqueue_once(self, shapes: list[tuple[int, str]]) -> Any:
        keys = self._scene.keys()
        jobs = [
            keyed(
                keys[n][1],
                type=keys[n][0],
                on_conflict="return" if n in self._replaced else on_conflict,
                priority=next(self._priority),
                created_at=NOW,
                run_at=NOW,
            )
            for n, on_conflict in shapes
        ]
        # Of two calls that replace a job in one batch, only the last one is written.
        self._replaced.update(n for n, on_conflict in shapes if on_conflict == "replace")
        return (jobs,)


def pick(things: Sequence[Any], n: int) -> Any:
    return things[n % len(things)]


# ── what comes of it ──────────────────────────────────────────────────────────────────────────

ROWS = {
    "jobs": """select id, type, queue, priority, state, reason, attempt, crashes, tags, version,
        updated_at, run_at, started_at, finished_at, worker, lease_token is null, lease_expires_at,
        unique_until, cancel_requested_at, progress from jobs order by id""",
    "payloads": "select id, body, content_type from payloads join jobs using (seq) order by id",
    "results": "select id, body from results join jobs using (seq) order by id",
    "attempts": """select j.id, a.attempt, a.worker, a.outcome, a.error_message
        from attempts as a join jobs as j using (seq) order by j.id, a.id""",
    "logs": "select id, n, l.attempt, message from logs as l join jobs using (seq) order by id, n",
    "changes": """select j.id, c.event, c.reason, c.line
        from changes as c join jobs as j using (seq) order by j.id, c.id""",
    "counts": "select queue, state, n from counts where n <> 0 order by queue, state",
    "recount": """select queue, state, count(*) from jobs group by queue, state
        order by queue, state""",
    "keys": "select key, fingerprint, jobs from idempotency_keys order by key",
    "queues": "select name, paused_at, most from queues order by name",
}
POSTGRES_ROWS = {
    "payloads": """select id, text, raw, content_type from payloads join jobs using (seq)
        order by id""",
    "results": "select id, result_text, result_raw from jobs order by id",
    "counts": """select queue, state, sum(n)::int from counts group by queue, state
        having sum(n) <> 0 order by queue, state""",
    "keys": """select key, fingerprint, jobs from idempotency_keys where expires_at > 0
        order by key""",
}


async def answer(store: Any, call: Call) -> Any:
    """What `call` got; tokens are drawn by lot, so they do not count."""
    verb, args = call
    try:
        got = await getattr(store, verb)(*args)
    except Conflict as error:
        return type(error)
    if verb == "claim":
        return [(job.id, job.attempt, job.crashes) for job in got if isinstance(job, Claimed)]
    return got


async def outcome(scene: Scene, calls: Sequence[Call], *, together: bool) -> Outcome:
    """The answers to `calls`, in their order, and the rows after them."""
    answers: dict[int, Any] = {}

    async def ask(store: Any, n: int) -> None:
        answers[n] = await answer(store, calls[n])

    with scene.copies.copy() as backend:
        async with backend.open(durable=False) as store:
            if together:
                async with trio.open_nursery() as nursery:
                    for n in range(len(calls)):
                        nursery.start_soon(ask, store, n)
            else:
                for n in range(len(calls)):
                    await ask(store, n)
        rows = scene.copies.rows(backend)
    return [answers[n] for n in range(len(calls))], rows


def likely(place: tuple[int, Call]) -> int:
    verb = place[1][0]
    late = {"claim": len(FIRST) + 1, "extend": len(FIRST) + 2}
    return FIRST.index(verb) if verb in FIRST else late.get(verb, len(FIRST))


async def as_if_in_turn(scene: Scene, calls: Sequence[Call]) -> bool:
    """Whether `calls`, made together, end as in some order of theirs."""
    answers, rows = await outcome(scene, calls, together=True)
    assert rows["counts"] == rows["recount"]
    for order in itertools.permutations(sorted(enumerate(calls), key=likely)):
        found = await outcome(scene, [call for _, call in order], together=False)
        if found == ([answers[n] for n, _ in order], rows):
            return True
    return False


def lived(scene: Scene, shapes: Iterable[tuple[Any, ...]]) -> bool:
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(as_if_in_turn, scene, Wishes(scene).calls(shapes), clock=clock)


crowds = st.lists(calls, min_size=2, max_size=4)
patient = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


@settings(max_examples=100, suppress_health_check=patient)
@given(crowds)
def test_no_crowd_gets_what_no_queue_of_callers_would_get(
    scene: Scene, shapes: list[tuple[Any, ...]]
) -> None:
    assert lived(scene, shapes)


@settings(max_examples=30, suppress_health_check=patient)
@given(shapes=crowds)
def test_no_crowd_gets_on_postgresql_what_no_queue_of_callers_would_get(
    postgres_scene: Scene, shapes: list[tuple[Any, ...]]
) -> None:
    assert lived(postgres_scene, shapes)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@settings(max_examples=CROWDS // 10, derandomize=False, suppress_health_check=patient)
@given(shapes=crowds)
def test_no_crowd_of_many_gets_on_postgresql_what_no_queue_of_callers_would_get(
    postgres_scene: Scene, shapes: list[tuple[Any, ...]]
) -> None:
    assert lived(postgres_scene, shapes)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@settings(max_examples=CROWDS, derandomize=False, suppress_health_check=patient)
@given(crowds)
def test_no_crowd_of_many_gets_what_no_queue_of_callers_would_get(
    scene: Scene, shapes: list[tuple[Any, ...]]
) -> None:
    """Others on every run."""
    assert lived(scene, shapes)


@pytest.mark.parametrize("event", [Event.SUCCEED, Event.RELEASE])
def test_two_verdicts_a_cancel_and_a_claim_on_one_job_are_told_apart(
    scene: Scene, event: Event
) -> None:
    """All on the job that was lost once and is held now."""
    held = len(scene.leases) - 1
    job = scene.ids.index(scene.leases[held].id)
    crowd = [
        ("settle", [held], event, True),
        ("settle", [held - 1], Event.FAIL, True),
        ("cancel", [job]),
        ("claim", 1, None),
    ]
    assert lived(scene, crowd)


def test_a_crowd_that_was_mixed_up_would_be_noticed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test's own test: a verb that answers all callers of a batch with what the first got."""
    from trio_jobs.storage.writes import Settle

    whole = Settle.apply

    def mixed_up(db: Any, writes: Any) -> list[Any]:
        answers = whole(db, writes)
        return [set().union(*answers)] * len(answers)

    monkeypatch.setattr(Settle, "apply", mixed_up)
    held = [n for n, lease in enumerate(scene.leases) if lease.id in scene.ids[-4:]]
    assert not lived(scene, [("settle", [n], Event.SUCCEED, False) for n in (held[0], held[-1])])
