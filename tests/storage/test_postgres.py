"""What is so on PostgreSQL only: several processes at work at once, and servers that go away."""

import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_jobs.errors import (
    ConfigError,
    SchemaMismatch,
    StoreError,
    TrioJobsError,
    Unavailable,
    Uncertain,
)
from trio_jobs.job import State
from trio_jobs.storage import is_postgres, open_store, queries
from trio_jobs.storage.migrations import migrations
from trio_jobs.storage.records import Key

from ..conftest import EPOCH
from ..postgres import Server, started
from .conftest import Audited, PostgresBackend
from .jobs import claim, claim_one, due_in, keyed, new_job, settlement, state_of

psycopg = pytest.importorskip("psycopg")

from trio_jobs.storage.postgres import PostgresStore  # noqa: E402
from trio_jobs.storage.postgres.clock import DatabaseClock  # noqa: E402
from trio_jobs.storage.postgres.nul import MARK, hidden, shown  # noqa: E402
from trio_jobs.storage.postgres.statements import Statements  # noqa: E402

FAR = 86_400.0
RESTARTS = int(os.environ.get("RESTARTS", "5"))


@pytest.fixture
def backend(postgres: Server) -> Iterator[PostgresBackend]:
    backend = PostgresBackend(postgres.url())
    yield backend
    backend.leave()


@pytest.fixture
def empty(postgres: Server) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    with psycopg.connect(postgres.url(), autocommit=True) as db:
        db.execute("create database fresh")
    yield postgres.url("fresh")
    with psycopg.connect(postgres.url(), autocommit=True) as db:
        db.execute("drop database fresh with (force)")


@pytest.fixture(scope="module")
def fragile() -> Iterator[Server]:
    """A server that tests may stop."""
    with started() as server:
        yield server


@asynccontextmanager
async def serving(url: str, **options: Any) -> AsyncIterator[PostgresStore]:
    """A store with threads of its own, in real time."""
    store = PostgresStore(url, **options)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        try:
            yield store
        finally:
            store.close()


@asynccontextmanager
async def several(url: str, count: int = 2, **options: Any) -> AsyncIterator[list[PostgresStore]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(serving(url, **options)) for _ in range(count)]


# ── URLs ──────────────────────────────────────────────────────────────────────────────────────


def test_urls_of_both_spellings_are_postgresql() -> None:
    assert all(map(is_postgres, ("postgres://h/d", "postgresql://u:p@h:5432/d?sslmode=require")))
    assert isinstance(open_store("postgres://h/d", durable=True, shared=False), PostgresStore)


def test_without_psycopg_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trio_jobs.storage.postgres", None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'trio-jobs[postgres]'")):
        open_store("postgresql://h/d", durable=True, shared=False)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://127.0.0.1:1/x", "cannot be reached"),
        ("postgresql://h/d?nonsense=1", "URL is not valid"),
    ],
)
async def test_a_database_that_is_not_there_is_one_clear_error(url: str, said: str) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with serving(url):
            pass
    assert caught.group_contains(StoreError, match=said)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter22@h:port/d",
        "postgresql://u:hunter22@[h/d",
        "postgresql://u:hunter22@127.0.0.1:1/d",
        "postgresql://h/d?nonsense=1&password=hunter22",
        "postgresq://u:hunter22@h/d",
    ],
)
async def test_no_password_is_in_what_went_wrong(url: str) -> None:
    async def start() -> None:
        await open_store(url, durable=True, shared=False).run()

    with pytest.raises((TrioJobsError, ExceptionGroup)) as caught:
        await start()
    assert "hunter22" not in repr(caught.value)


async def test_a_database_of_that_name_that_does_not_exist_is_named(postgres: Server) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with serving(postgres.url("nowhere")):
            pass
    assert caught.group_contains(StoreError, match="nowhere")


# ── the schema ────────────────────────────────────────────────────────────────────────────────


async def test_processes_that_start_at_once_on_an_empty_database_all_come_up(empty: str) -> None:
    async def start() -> None:
        async with serving(empty) as store:
            await store.enqueue([new_job()])

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(start)
    with psycopg.connect(empty) as db:
        assert db.execute("select count(*) from jobs").fetchone() == (5,)
        known = [migration.version for migration in migrations("postgres")]
        assert [v for (v,) in db.execute("select version from schema_version order by 1")] == known


async def test_an_older_program_refuses_what_a_newer_one_has_changed(empty: str) -> None:
    async with serving(empty):
        pass
    with psycopg.connect(empty, autocommit=True) as db:
        db.execute("insert into schema_version (version, name, breaking) values (99, 'x', false)")
        async with serving(empty):
            pass
        db.execute("update schema_version set breaking = true where version = 99")
    with pytest.raises(ExceptionGroup) as caught:
        async with serving(empty):
            pass
    assert caught.group_contains(SchemaMismatch, match="0099_x")


async def test_the_tables_of_another_program_are_left_alone(empty: str) -> None:
    with psycopg.connect(empty, autocommit=True) as db:
        db.execute("create table jobs (id integer)")
    with pytest.raises(ExceptionGroup) as caught:
        async with serving(empty):
            pass
    assert caught.group_contains(StoreError, match="another program")


async def test_a_visitor_makes_no_tables(empty: str) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with serving(empty, visitor=True):
            pass
    assert caught.group_contains(StoreError, match="no tables")


# ── the SQL ───────────────────────────────────────────────────────────────────────────────────


def test_every_query_is_understood_and_asked_for_by_name(backend: PostgresBackend) -> None:
    async def make() -> None:
        async with serving(backend.url):
            pass

    trio.run(make)
    statements = Statements()
    parts = {"first", "head", "matches", "matches_otherwise", "patience", "unfinished"}
    storage = Path(queries.__file__).parent
    code = "".join(file.read_text() for file in storage.rglob("*.py"))
    for name in queries.load("postgres.sql"):
        if name in parts:
            continue
        sql = statements.sql(name).decode().replace("%s", "null")
        assert name == "recount" or re.search(rf'"{name}"', code), name
        if not name.startswith(("begin", "commit", "rollback", "schema_create")):
            backend.ask(f"prepare q as {sql}")
            backend.ask("deallocate q")


async def test_nothing_is_left_in_a_session(backend: PostgresBackend) -> None:
    """So that a pooler may give each transaction another one."""
    async with backend.open() as store:
        before = _session(store)
        await store.enqueue([keyed("k"), new_job()], Key("key", "f", EPOCH + FAR))
        await store.limit("default", 5)
        held = await claim(store)
        await store.settle([settlement(job.lease) for job in held], EPOCH)
        await store.get([job.id for job in held])
        assert _session(store) == before == ([], 0, 0)


def _session(store: PostgresStore) -> Any:
    def ask(sql: str) -> int:
        return int(store.server._writer.execute(sql.encode()).get_value(0, 0) or b"0")

    own = "pid = pg_backend_pid()"
    return (
        [],
        ask("select count(*) from pg_prepared_statements"),
        ask(f"select count(*) from pg_locks where locktype = 'advisory' and {own}")
        + ask("select count(*) from pg_settings where source = 'session'")
        + ask("select count(*) from pg_class where relpersistence = 't'"),
    )


@pytest.mark.parametrize(("durable", "level"), [(True, b"on"), (False, b"off")])
async def test_a_commit_waits_for_the_disk_exactly_when_it_should(
    backend: PostgresBackend, durable: bool, level: bytes
) -> None:
    backend.ask("alter database postgres set synchronous_commit = off")
    try:
        async with backend.open(durable=durable) as store:
            server = store.server
            server._writer.execute(server.statements.sql("begin" if durable else "begin_relaxed"))
            assert server._writer.execute(b"show synchronous_commit").get_value(0, 0) == level
            server._writer.execute(b"rollback")
    finally:
        backend.ask("alter database postgres reset synchronous_commit")


@pytest.mark.parametrize(
    "text", ["", "a", "\0", MARK, f"{MARK}0", f"\\u0000{MARK}", "\\\\u0000\0é"]
)
def test_nuls_survive_as_they_were(text: str) -> None:
    for said in (text, json.dumps(text), json.dumps([text, {"x": text}], ensure_ascii=False)):
        as_json = json.dumps(said)
        stored = hidden(as_json)
        assert "\0" not in stored
        assert "\\u0000" not in re.sub(r"\\\\", "", stored)
        assert json.loads(shown(stored)) == said


# ── several processes ─────────────────────────────────────────────────────────────────────────


async def test_two_processes_never_claim_the_same_job(backend: PostgresBackend) -> None:
    async with several(backend.url, 3) as stores:
        jobs = [new_job(queue=f"q{n % 3}") for n in range(600)]
        await stores[0].enqueue(jobs)
        found: list[str] = []

        async def work(store: PostgresStore) -> None:
            while held := await claim(store, 17):
                found.extend(job.id for job in held)
                assert len(await store.settle([settlement(j.lease) for j in held], EPOCH)) == len(
                    held
                )

        async with trio.open_nursery() as nursery:
            for store in stores:
                nursery.start_soon(work, store)
        assert sorted(found) == sorted(job.id for job in jobs)
        counts = {f"q{n}": {State.DONE: 200} for n in range(3)}
        assert await stores[0].counts() == counts == backend.recount()


async def test_a_claim_finds_what_others_leave_while_they_hold_the_front(
    backend: PostgresBackend,
) -> None:
    async with backend.open() as store:
        jobs = [new_job(queue=f"q{n % 2}") for n in range(20)]
        await store.enqueue(jobs)
        with psycopg.connect(backend.url) as other:
            other.execute("select 1 from jobs where seq <= 16 for update")
            assert [job.id for job in await claim(store, 4)] == [job.id for job in jobs[16:]]
            assert await claim(store, 4) == []


async def test_a_limit_holds_over_all_processes(backend: PostgresBackend) -> None:
    async with several(backend.url, 3) as stores:
        await stores[0].limit("default", 4)
        await stores[0].enqueue([new_job() for _ in range(60)])
        running = most = ended = 0

        async def work(store: PostgresStore) -> None:
            nonlocal running, most, ended
            while ended < 60:
                held = await claim(store, 3)
                running += len(held)
                most = max(most, running)
                await trio.sleep(0.001)
                running -= len(held)
                settled = await store.settle([settlement(job.lease) for job in held], EPOCH)
                ended += len(settled)

        async with trio.open_nursery() as nursery:
            for store in stores:
                nursery.start_soon(work, store)
        assert most <= 4


async def test_one_request_sent_to_two_processes_at_once_makes_one_job(
    backend: PostgresBackend,
) -> None:
    async with several(backend.url, 3) as stores:
        for n in range(20):
            answers: list[Any] = []

            async def send(store: PostgresStore, n: int = n, answers: list[Any] = answers) -> None:
                key = Key(f"key {n}", "f", EPOCH + FAR)
                answers.append(await store.enqueue([new_job()], key))

            async with trio.open_nursery() as nursery:
                for store in stores:
                    nursery.start_soon(send, store)
            assert len({answer.ids[0] for answer in answers}) == 1
            assert sorted(answer.replayed for answer in answers) == [False, True, True]
        assert backend.ask("select count(*) from jobs") == 20


async def test_a_unique_key_is_held_by_one_job_whoever_asks(backend: PostgresBackend) -> None:
    async with several(backend.url, 3) as stores:
        for n in range(20):
            ids: set[str] = set()

            async def send(store: PostgresStore, n: int = n, ids: set[str] = ids) -> None:
                ids.update((await store.enqueue([keyed(f"k{n}")])).ids)

            async with trio.open_nursery() as nursery:
                for store in stores:
                    nursery.start_soon(send, store)
            assert len(ids) == 1
        assert await stores[0].counts() == {"default": {State.QUEUED: 20}} == backend.recount()


async def test_those_who_are_in_each_others_way_are_all_served(backend: PostgresBackend) -> None:
    async with several(backend.url, 3) as stores:
        jobs = [new_job() for _ in range(60)]
        await stores[0].enqueue(jobs)
        ids = [job.id for job in jobs]

        async def steer(store: PostgresStore, turn: int) -> None:
            for n in range(12):
                mine = ids[turn:] + ids[:turn]
                await store.cancel(mine if n % 2 else mine[::-1], EPOCH)
                await store.retry(mine[::-1] if n % 3 else mine, EPOCH)

        async with trio.open_nursery() as nursery:
            for turn, store in enumerate(stores):
                nursery.start_soon(steer, store, turn * 20)
        assert await stores[0].counts() == backend.recount()


async def test_only_a_lease_tells_who_has_died(backend: PostgresBackend) -> None:
    async with several(backend.url) as stores:
        await stores[0].enqueue([new_job()])
        await claim_one(stores[0], worker="process-0123456789abcdef")
        assert await stores[1].rescue(EPOCH + 1, 10) == (0, 0)
        assert await stores[1].rescue(EPOCH + 31, 10) == (1, 0)


async def test_a_pulse_keeps_leases_alive_and_tells_which_are_lost(
    backend: PostgresBackend,
) -> None:
    async with backend.open() as store:
        await store.enqueue([new_job(), new_job()])
        one, other = await claim(store, 2)
        await store.settle([settlement(other.lease)], EPOCH)
        pulse = store.pulse()
        assert pulse.extend([one.lease, other.lease], EPOCH + 99) == {one.id}
        pulse.close()
        assert await store.rescue(EPOCH + 98, 9) == (0, 0)


# ── changes ───────────────────────────────────────────────────────────────────────────────────


async def test_a_change_that_is_committed_late_is_not_passed_over(
    backend: PostgresBackend,
) -> None:
    """Its number is lower than those that others have committed meanwhile."""
    async with backend.open() as store:
        late, soon = (new_job(created_at=time.time()) for _ in range(2))
        start = (await store.changes(None, 0)).last
        with psycopg.connect(backend.url) as slow:
            [base] = slow.execute("select pg_current_xact_id()::text::bigint << 20").fetchone()
            await store.enqueue([soon])
            found = await store.changes(start, 9)
            assert (found.changes, found.last, found.complete) == ([], start, True)
            assert (await store.changes(None, 0)).last <= base
            row = [late.id, late.created_at]
            slow.execute(
                "insert into jobs (seq, id, type, queue, priority, state, max_attempts, created_at,"
                " updated_at, run_at) select nextval('job_numbers'), %s, 'x', 'x', 0, 'queued', 1,"
                " t, t, t from (select %s::float8 as t) as n", row,
            )  # fmt: skip
            slow.execute(
                "insert into changes (id, seq, at, event) select %s, currval('job_numbers'), %s,"
                " 'queued'", [base + 1, late.created_at],
            )  # fmt: skip
            assert (await store.changes(start, 9)).changes == []
        found = await store.changes(start, 9)
        assert [change.id for change in found.changes] == [late.id, soon.id]
        slow.close()


async def test_a_transaction_of_somebody_else_holds_up_nobody_for_long(
    backend: PostgresBackend,
) -> None:
    async with backend.open() as store:
        with psycopg.connect(backend.url) as foreign:
            foreign.execute("select pg_current_xact_id()")
            old, new = new_job(created_at=time.time() - 61), new_job(created_at=time.time())
            await store.enqueue([old])
            await store.enqueue([new])
            found = await store.changes(0, 9)
            assert [change.id for change in found.changes] == [old.id]
        assert [change.id for change in (await store.changes(found.last, 9)).changes] == [new.id]


# ── news ──────────────────────────────────────────────────────────────────────────────────────


async def heard(bell: Any, seconds: float = 2.0) -> bool:
    return bool(await bell.wait(seconds))


async def hushed(store: PostgresStore) -> None:
    """Its listener is up, and has rung all bells for that."""
    with trio.fail_after(5):
        while not store._listener.connected:  # noqa: ASYNC110
            await trio.sleep(0.01)
    for bell in (store.doorbell, store.cancels_bell, store.changes_bell):
        await heard(bell, 0.05)


async def test_other_processes_hear_what_is_new(backend: PostgresBackend) -> None:
    async with several(backend.url) as (one, other):
        await hushed(one)
        await hushed(other)
        await one.enqueue([new_job()])
        assert await heard(other.doorbell)
        assert await heard(other.changes_bell)
        held = await claim_one(other, worker=other.identity)
        start = time.monotonic()
        await one.cancel([held.id], EPOCH)
        assert await heard(other.cancels_bell)
        assert time.monotonic() - start < 0.5
        assert await other.cancels(other.identity) == [held.lease]


async def test_no_news_is_told_of_what_does_not_concern_workers(backend: PostgresBackend) -> None:
    async with several(backend.url) as (one, other):
        await hushed(one)
        await hushed(other)
        await one.enqueue([due_in(99)])
        assert await heard(other.changes_bell)
        assert not await heard(other.doorbell, 0.1)


async def test_a_burst_is_told_in_few_words(backend: PostgresBackend) -> None:
    """Each NOTIFY takes a lock of the whole server."""
    async with serving(backend.url) as store:
        await hushed(store)
        with psycopg.connect(backend.url, autocommit=True) as listener:
            listener.execute(f'listen "{store._listener._channel}"')
            start = time.monotonic()
            for _ in range(100):
                await store.enqueue([new_job()])
            took = time.monotonic() - start
            await trio.sleep(0.1)
            notes = list(
                await trio.to_thread.run_sync(lambda: list(listener.notifies(timeout=0.1)))
            )
        assert 1 <= len(notes) <= took / 0.015 + 3


async def test_a_listener_that_is_cut_off_comes_back(backend: PostgresBackend) -> None:
    async with several(backend.url) as (one, other):
        await hushed(one)
        await hushed(other)
        backend.ask(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity"
            " where application_name = 'trio-jobs'"
            " and (query like '%clock_timestamp%' or query like 'listen%')"
        )
        with trio.fail_after(5):
            while other._listener.connected:  # noqa: ASYNC110
                await trio.sleep(0.01)
        await hushed(other)
        await hushed(one)
        await one.enqueue([new_job()])
        assert await heard(other.doorbell)


# ── time ──────────────────────────────────────────────────────────────────────────────────────


def test_the_clock_of_the_database_is_taken_from_quick_answers() -> None:
    clock = DatabaseClock()
    start = time.monotonic()
    clock.measured(start, 5_000.0, start + 0.002)
    assert clock.now() == pytest.approx(5_000.0, abs=0.5)
    clock.measured(start, 9_000.0, start + 1.0)  # who knows when that was
    assert clock.now() == pytest.approx(5_000.0, abs=0.5)
    clock.measured(start + 100, 9_000.0, start + 101)  # better than nothing
    assert clock.now() == pytest.approx(9_000.0 - 100.5, abs=0.5)


async def test_it_is_as_late_as_the_database_says(
    backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3_600)
    async with backend.open() as store:
        assert store.now() == pytest.approx(real(), abs=0.5)


# ── servers that go away ──────────────────────────────────────────────────────────────────────


def kill_backends(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as db:
        [killed] = db.execute(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity"
            " where application_name = 'trio-jobs'"
        ).fetchone()
    return int(killed)


async def test_connections_that_died_in_their_sleep_are_nobodys_concern(
    fragile: Server,
) -> None:
    async with serving(fragile.url()) as store:
        job = new_job()
        await store.enqueue([job])
        await store.get([job.id])
        assert kill_backends(fragile.url()) > 1
        await trio.sleep(0.1)
        assert (await store.get([job.id]))[job.id].id == job.id
        await store.enqueue([new_job()])
        fragile.restart()
        await store.enqueue([new_job()])
        assert await store.counts()


class Client:
    """Enqueues one job after the other, each with a key, and remembers what it was told."""

    def __init__(self, store: PostgresStore) -> None:
        self.store = store
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self.uncertain = self.replayed = 0
        self.slowest = 0.0
        self.stop = False

    async def run(self) -> None:
        n = 0
        while not self.stop:
            n += 1
            await self._send(Key(f"{id(self)} {n}", "f", EPOCH + FAR))

    async def _send(self, key: Key) -> None:
        job, in_doubt = new_job(), False
        while True:
            start = time.monotonic()
            try:
                answer = await self.store.enqueue([job], key)
            except Unavailable as error:
                self.slowest = max(self.slowest, time.monotonic() - start)
                in_doubt |= isinstance(error, Uncertain)
                self.uncertain += isinstance(error, Uncertain)
                if self.stop and not in_doubt:
                    self.refused.append(job.id)
                    return
                await trio.sleep(0.05)
            else:
                assert in_doubt or not answer.replayed
                self.replayed += answer.replayed
                self.acknowledged += answer.ids
                return


async def audit(clients: list[Client], url: str) -> None:
    with psycopg.connect(url) as db:
        stored = [id_ for (id_,) in db.execute("select id from jobs")]
    told = [id_ for client in clients for id_ in client.acknowledged]
    assert len(set(told)) == len(told)
    assert set(stored) == set(told)  # nothing lost, nothing twice, nothing that was refused


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_restarts_under_load_lose_nothing_and_make_nothing_twice(fragile: Server) -> None:
    PostgresBackend(fragile.url()).leave()
    async with serving(fragile.url()) as store:
        clients = [Client(store) for _ in range(16)]
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(client.run)
            for _ in range(RESTARTS):
                await trio.sleep(0.5)
                await trio.to_thread.run_sync(fragile.restart)
            for _ in range(2 * RESTARTS):
                await trio.sleep(0.1)
                kill_backends(fragile.url())
            await trio.sleep(0.5)
            for client in clients:
                client.stop = True
        assert sum(len(client.acknowledged) for client in clients) > 500
        await audit(clients, fragile.url())
        counts = await store.counts()
        assert counts == {"default": {State.QUEUED: sum(len(c.acknowledged) for c in clients)}}


@pytest.mark.slow
async def test_a_server_that_hangs_is_told_within_three_seconds_and_comes_back(
    fragile: Server,
) -> None:
    PostgresBackend(fragile.url()).leave()
    async with serving(fragile.url()) as store:
        clients = [Client(store) for _ in range(4)]
        job = new_job()
        await store.enqueue([job])
        slowest: list[float] = []

        async def look() -> None:
            while not clients[0].stop:
                start = time.monotonic()
                try:
                    await store.get([job.id])
                    await store.counts()
                except Unavailable:
                    slowest.append(time.monotonic() - start)
                await trio.sleep(0.05)

        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(client.run)
            nursery.start_soon(look)
            await trio.sleep(0.3)
            before = sum(len(client.acknowledged) for client in clients)
            with fragile.frozen():
                await trio.sleep(7)
                assert sum(len(c.acknowledged) for c in clients) - before <= len(clients)
            frozen = sum(len(client.acknowledged) for client in clients)
            await trio.sleep(4)
            assert sum(len(client.acknowledged) for client in clients) > frozen + 50
            for client in clients:
                client.stop = True
        assert max(client.slowest for client in clients) < 3
        assert slowest
        assert max(slowest) < 3
        clients[0].acknowledged.append(job.id)
        await audit(clients, fragile.url())


@pytest.mark.slow
async def test_a_worker_outlives_a_server_that_was_away_for_long(fragile: Server) -> None:
    PostgresBackend(fragile.url()).leave()
    async with serving(fragile.url()) as store:
        await trio.to_thread.run_sync(fragile.stop)
        for _ in range(3):
            start = time.monotonic()
            with pytest.raises(Unavailable):
                await claim(store)
            assert time.monotonic() - start < 3
            await trio.sleep(0.5)
        await trio.to_thread.run_sync(fragile.start)
        await trio.sleep(1)
        job = new_job()
        await store.enqueue([job])
        assert (await claim_one(store)).id == job.id
        assert await state_of(store, job.id) is State.RUNNING
        with trio.fail_after(5):
            await hushed(store)


async def test_a_statement_that_waits_for_a_lock_does_not_wait_for_ever(
    backend: PostgresBackend,
) -> None:
    async with backend.open() as store:
        job = new_job()
        await store.enqueue([job])
        with psycopg.connect(backend.url) as other:
            other.execute("lock table jobs in access exclusive mode")
            start = time.monotonic()
            with pytest.raises(TrioJobsError, match=r"busy|did not answer"):
                await store.enqueue([new_job()])
            assert time.monotonic() - start < 3
        await store.enqueue([new_job()])
        audited = Audited(store, backend)
        assert len(await claim(audited)) == 2
