"""What is promised of the SQLite store alone: one file, its locks, its fsyncs, its schema."""

import contextlib
import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import apsw
import pytest
import trio

from trio_jobs.errors import (
    ConfigError,
    SchemaMismatch,
    StoreBroken,
    StoreError,
    StoreLocked,
    Unavailable,
    Uncertain,
)
from trio_jobs.job import State
from trio_jobs.storage import open_store, sqlite_path
from trio_jobs.storage.connection import (
    MAX_IDLE_WAL,
    migrate,
    open_reader,
    open_writer,
    schema_version,
)
from trio_jobs.storage.migrations import migrations
from trio_jobs.storage.records import Job
from trio_jobs.storage.sqlite import SqliteStore, in_thread
from trio_jobs.storage.wishes import Filter

from ..conftest import EPOCH, in_place
from .conftest import SqliteBackend
from .jobs import LEASE, claim, claim_one, new_job, settlement, with_result

T = TypeVar("T")


@pytest.fixture
def backend(tmp_path: Path) -> Any:
    """An empty database."""
    backend = SqliteBackend(tmp_path)
    yield backend
    backend.leave()


def reason(error: BaseException) -> BaseException:
    """The one error in nested groups."""
    while isinstance(error, BaseExceptionGroup):
        [error] = error.exceptions
    return error


async def refused(backend: SqliteBackend, **options: Any) -> BaseException:
    """Why the store cannot be opened."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        async with backend.open(**options):
            raise AssertionError("it opened")
    return reason(caught.value)


# ── the file ──────────────────────────────────────────────────────────────────────────────────


async def test_nobody_else_may_read_the_jobs(backend: SqliteBackend) -> None:
    old = os.umask(0)
    try:
        async with backend.open() as store:
            await store.enqueue([new_job()])
            for file in backend.path.parent.iterdir():
                assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file.name
    finally:
        os.umask(old)


async def test_a_clean_close_leaves_one_whole_file_and_no_wal(backend: SqliteBackend) -> None:
    async with backend.open() as store:
        await store.enqueue([new_job()])
        assert [file.name for file in backend.path.parent.glob("*-wal")] == ["jobs.db-wal"]
    assert not list(backend.path.parent.glob("*-wal"))
    assert not list(backend.path.parent.glob("*-shm"))
    with contextlib.closing(sqlite3.connect(backend.path)) as db:
        assert db.execute("select count(*) from jobs").fetchone() == (1,)


async def test_a_new_directory_is_made_on_the_way(tmp_path: Path) -> None:
    backend = SqliteBackend(tmp_path / "not" / "yet")
    async with backend.open():
        assert backend.path.exists()


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
async def test_full_synchronous_is_set_and_not_only_asked_for(
    backend: SqliteBackend, durable: bool, level: int
) -> None:
    async with backend.open(durable=durable) as store:
        assert store.file.writer.pragma("synchronous") == level
        assert store.file.writer.pragma("journal_mode") == "wal"


async def test_readers_cannot_write(backend: SqliteBackend) -> None:
    async with backend.open():
        reader = open_reader(backend.path)
        with pytest.raises(apsw.ReadOnlyError):
            reader.execute("delete from jobs")
        reader.close()


def test_urls_say_where_the_file_is() -> None:
    assert sqlite_path("sqlite:///jobs.db") == Path("jobs.db")
    assert sqlite_path("sqlite:////var/lib/jobs.db") == Path("/var/lib/jobs.db")
    for url in ("", "jobs.db", "sqlite://", "sqlite:///", "mysql://x/y"):
        with pytest.raises(ConfigError, match="sqlite:///FILE"):
            open_store(url, durable=True, shared=False)


# ── what is not ours ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "schema",
    [
        "create table users (id integer primary key)",
        "create table schema_version (version integer); create table users (id integer)",
    ],
)
async def test_a_database_of_another_program_is_left_alone(
    backend: SqliteBackend, schema: str
) -> None:
    with contextlib.closing(sqlite3.connect(backend.path)) as db:
        db.executescript(schema)
    before = backend.path.read_bytes()
    error = await refused(backend)
    assert type(error) is StoreError
    assert "another program" in str(error)
    assert backend.path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"not a database at all\n" * 100, b"SQLite format 3\0" + b"x" * 5000]
)
async def test_a_file_that_is_no_database_is_refused_and_left_alone(
    backend: SqliteBackend, content: bytes
) -> None:
    backend.path.write_bytes(content)
    assert isinstance(await refused(backend), StoreError)
    assert backend.path.read_bytes() == content


async def test_a_directory_is_no_database(backend: SqliteBackend) -> None:
    backend.path.mkdir()
    assert isinstance(await refused(backend), StoreError)


async def test_a_damaged_database_is_refused_before_it_acknowledges_anything(
    backend: SqliteBackend,
) -> None:
    async with backend.open() as store:
        await store.enqueue([new_job(b'"' + b"x" * 5_000 + b'"') for _ in range(50)])
    content = bytearray(backend.path.read_bytes())
    for page in range(5, len(content) // 4_096, 2):
        content[page * 4_096 : page * 4_096 + 200] = b"\xa5" * 200
    backend.path.write_bytes(content)
    error = await refused(backend)
    assert isinstance(error, StoreBroken)
    assert re.search("damaged|malformed", str(error))


async def test_a_failed_start_leaves_no_lock_behind(backend: SqliteBackend) -> None:
    backend.path.write_bytes(b"garbage, but for long enough to be read as a header" * 10)
    await refused(backend)
    backend.path.unlink()
    async with backend.open():
        pass


# ── who may open it ───────────────────────────────────────────────────────────────────────────


async def test_a_second_owner_is_refused_by_the_name_of_the_first(backend: SqliteBackend) -> None:
    async with backend.open() as store:
        for shared in (False, True):
            error = await refused(backend, shared=shared)
            assert isinstance(error, StoreLocked)
            assert f"process {os.getpid()}." in str(error)
        await store.check_writable()
    async with backend.open():
        pass


async def test_processes_that_share_see_each_others_jobs_and_lives(backend: SqliteBackend) -> None:
    async with (
        backend.open(shared=True) as one,
        SqliteBackend(backend.path.parent).open(shared=True) as other,
    ):
        assert one.identity != other.identity
        assert isinstance(await refused(backend), StoreLocked)
        await one.enqueue([new_job()])
        held = await claim_one(other, worker=other.identity)
        assert await one.rescue(EPOCH, 10) == (0, 0)
        assert await other.settle([settlement(held.lease)], EPOCH) == {held.id}
        assert await one.counts() == {"default": {State.DONE: 1}}


async def test_a_process_that_starts_during_a_rescue_does_not_lose_the_job_it_just_took(
    backend: SqliteBackend,
) -> None:
    """The rescuer asks who is alive, a newcomer claims, the rescuer writes: in this order."""
    async with SqliteBackend(backend.path.parent).open(shared=True) as setup:
        await setup.enqueue([new_job()])
    newcomers: list[str] = []

    async with trio.open_nursery() as nursery:
        newcomer = SqliteStore(backend.path, shared=True, run_sync=in_place)

        async def interrupted(call: Callable[..., T], *args: Any) -> T:
            await trio.lowlevel.checkpoint()
            if armed and getattr(call, "__name__", "") == "_transact":
                armed.clear()
                await nursery.start(newcomer.run)
                held = await claim_one(newcomer, worker=newcomer.identity)
                newcomers.append(held.id)
            return call(*args)

        armed: list[bool] = []
        async with backend.open(shared=True, run_sync=interrupted) as store:
            armed.append(True)
            assert await store.rescue(EPOCH, 10) == (0, 0)
            assert len(newcomers) == 1
            newcomer.close()


# ── the schema ────────────────────────────────────────────────────────────────────────────────


async def test_a_newer_schema_is_refused_only_when_it_breaks_us(backend: SqliteBackend) -> None:
    async with backend.open():
        pass
    known = len(migrations("sqlite"))
    add = "insert into schema_version (version, name, breaking) values (?, ?, ?)"
    backend.audit().execute(add, (known + 1, "harmless", 0))
    async with backend.open() as store:
        await store.enqueue([new_job()])
    backend.audit().execute(add, (known + 2, "all_new", 1))
    error = await refused(backend)
    assert isinstance(error, SchemaMismatch)
    assert f"{known + 2:04d}_all_new" in str(error)
    assert "Upgrade" in str(error)


NONSENSE = {
    "an unknown state": "state = 'lost'",
    "no state": "state = null",
    "running without a lease": "state = 'running'",
    "running without an end": "state = 'running', lease_token = 1",
    "a lease while queued": "lease_token = 1",
    "an end of a lease while queued": "lease_expires_at = 1",
    "done without a time": "state = 'done'",
    "failed without a time": "state = 'failed'",
    "cancelled without a time": "state = 'cancelled'",
    "finished while queued": "finished_at = 1",
    "finished while running": (
        "state = 'running', lease_token = 1, lease_expires_at = 1, finished_at = 1"
    ),
    "an attempt too few": "attempt = -1",
    "no attempts at all": "max_attempts = 0",
    "a crash too few": "crashes = -1",
    "words for a time": "run_at = 'tomorrow'",
    "a fraction of a priority": "priority = 0.5",
    "no id": "id = null",
    "no type": "type = null",
    "no time": "run_at = null",
}


@pytest.mark.parametrize("change", NONSENSE.values(), ids=NONSENSE)
async def test_the_schema_refuses_impossible_rows(backend: SqliteBackend, change: str) -> None:
    async with backend.open() as store:
        await store.enqueue([new_job()])
        with pytest.raises(apsw.ConstraintError):
            backend.audit().execute(f"update jobs set {change}")


MIGRATE = """
import sys
from pathlib import Path
from trio_jobs.storage.connection import open_writer, schema_version
print("ready", flush=True)
sys.stdin.read(1)
db = open_writer(Path(sys.argv[1]), durable=True)
print(schema_version(db))
"""


@pytest.mark.slow
def test_processes_that_migrate_at_once_collide_harmlessly(tmp_path: Path) -> None:
    for round_ in range(3):
        path = tmp_path / f"{round_}.db"
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", MIGRATE, str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(4)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("x")
            process.stdin.flush()
        answers = [process.communicate(timeout=30) for process in processes]
        assert answers == [(f"{len(migrations('sqlite'))}\n", "")] * 4


def test_a_migration_that_fails_leaves_the_version_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trio_jobs.storage import connection
    from trio_jobs.storage.migrations import Migration

    db = open_writer(tmp_path / "jobs.db", durable=False)
    before = schema_version(db)
    known = migrations("sqlite")
    bad = Migration(before + 1, "bad", "create table extra (x); insert into nowhere values (1)")
    monkeypatch.setattr(connection, "migrations", lambda _: (*known, bad))
    with pytest.raises(apsw.SQLError):
        migrate(db)
    assert schema_version(db) == before
    assert not db.execute("select exists (select 1 from sqlite_schema where name = 'extra')").get
    good = Migration(before + 1, "good", "create table extra (x)")
    monkeypatch.setattr(connection, "migrations", lambda _: (*known, good))
    assert migrate(db) == [good.label]
    assert migrate(db) == []
    db.close()


# ── group commit ──────────────────────────────────────────────────────────────────────────────


class Thread:
    """A `run_sync` in place that counts, waits or fails on demand."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.error: Exception | None = None
        self.gate = trio.Event()
        self.gate.set()
        self.waiting = trio.Event()

    async def __call__(self, call: Callable[..., T], *args: Any) -> T:
        name = getattr(call, "__name__", "")
        await trio.lowlevel.checkpoint()
        if name == "_transact":
            self.waiting.set()
            with trio.CancelScope(shield=True):  # a thread ends when it ends
                await self.gate.wait()
            if self.error is not None:
                raise self.error
        self.calls.append(name)
        return call(*args)


async def test_callers_that_come_together_share_one_transaction_and_one_fsync(
    backend: SqliteBackend,
) -> None:
    thread = Thread()
    async with backend.open(run_sync=thread) as store:
        thread.calls.clear()
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(store.enqueue, [new_job()])
            nursery.start_soon(claim, store)
            nursery.start_soon(store.check_writable)
        assert thread.calls == ["_transact"]
        thread.calls.clear()
        ids = [id_ for (id_,) in backend.rows("id")]
        async with trio.open_nursery() as nursery:
            for id_ in ids:
                nursery.start_soon(store.get, [id_])
        assert thread.calls == ["read_jobs"]


async def test_what_comes_while_a_transaction_runs_goes_into_the_next(
    backend: SqliteBackend,
) -> None:
    thread = Thread()
    async with backend.open(run_sync=thread) as store:
        thread.calls.clear()
        thread.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.enqueue, [new_job()])
            await thread.waiting.wait()
            for _ in range(20):
                nursery.start_soon(store.enqueue, [new_job()])
            await trio.testing.wait_all_tasks_blocked()
            thread.gate.set()
        assert thread.calls == ["_transact", "_transact"]
        assert await store.counts() == {"default": {State.QUEUED: 21}}


async def test_nobody_is_answered_before_the_commit(backend: SqliteBackend) -> None:
    thread = Thread()
    async with backend.open(run_sync=thread) as store:
        thread.gate = trio.Event()
        answered = trio.Event()

        async def enqueue() -> None:
            await store.enqueue([new_job()])
            answered.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(enqueue)
            await thread.waiting.wait()
            await trio.testing.wait_all_tasks_blocked()
            assert not answered.is_set()
            thread.gate.set()
        assert answered.is_set()


async def test_a_caller_that_is_cancelled_before_its_batch_leaves_is_never_written(
    backend: SqliteBackend,
) -> None:
    thread = Thread()
    async with backend.open(run_sync=thread) as store:
        thread.gate = trio.Event()
        first, cancelled, last = new_job(), new_job(), new_job()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.enqueue, [first])
            await thread.waiting.wait()
            nursery.start_soon(store.enqueue, [last])
            with trio.CancelScope() as scope:
                nursery.start_soon(trio.lowlevel.checkpoint)
                scope.cancel()
                await store.enqueue([cancelled])
            thread.gate.set()
        assert set(await store.get([first.id, cancelled.id, last.id])) == {first.id, last.id}


async def test_a_caller_that_is_cancelled_too_late_does_not_disturb_its_neighbours(
    backend: SqliteBackend,
) -> None:
    thread = Thread()
    async with backend.open(run_sync=thread) as store:
        thread.gate = trio.Event()
        gone, stays = new_job(), new_job()
        async with trio.open_nursery() as nursery, trio.open_nursery() as leaving:
            nursery.start_soon(store.enqueue, [stays])
            leaving.start_soon(store.enqueue, [gone])
            await thread.waiting.wait()
            leaving.cancel_scope.cancel()
            thread.gate.set()
        assert set(await store.get([gone.id, stays.id])) == {gone.id, stays.id}


async def test_closing_answers_all_that_wait_and_refuses_what_comes_after(
    backend: SqliteBackend,
) -> None:
    thread = Thread()
    async with trio.open_nursery() as nursery:
        store = SqliteStore(backend.path, run_sync=thread)
        await nursery.start(store.run)
        thread.gate = trio.Event()
        jobs = [new_job() for _ in range(3)]
        for job in jobs:
            nursery.start_soon(store.enqueue, [job])
        await thread.waiting.wait()
        late = new_job()
        nursery.start_soon(store.enqueue, [late])
        await trio.testing.wait_all_tasks_blocked()
        store.close()
        with pytest.raises(Unavailable):
            await store.enqueue([new_job()])
        with pytest.raises(Unavailable):
            await store.get([late.id])
        thread.gate.set()
    async with backend.open() as again:
        assert len(await again.get([late.id, *(job.id for job in jobs)])) == 4


VERBS: dict[str, Callable[[SqliteStore], Awaitable[object]]] = {
    "enqueue": lambda store: store.enqueue([new_job()]),
    "get": lambda store: store.get(["x"]),
    "list": lambda store: store.list_jobs(Filter(), before=None, limit=1),
    "counts": lambda store: store.counts(),
    "claim": claim,
    "extend": lambda store: store.extend([], EPOCH),
    "settle": lambda store: store.settle([], EPOCH),
    "promote": lambda store: store.promote(EPOCH, 1),
    "rescue": lambda store: store.rescue(EPOCH, 1),
    "check": lambda store: store.check_writable(),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_closed_store_says_so_in_every_verb(backend: SqliteBackend, verb: str) -> None:
    """Upkeep and clients outlive it by a moment; that must not end as a crash."""
    async with backend.open() as store:
        pass
    with pytest.raises(Unavailable):
        await VERBS[verb](store)


async def test_a_store_whose_disk_fails_stops_and_answers_everybody(
    backend: SqliteBackend,
) -> None:
    thread = Thread()
    answers: list[Exception] = []

    async def ask(call: Callable[[SqliteStore], Awaitable[object]], store: SqliteStore) -> None:
        try:
            await call(store)
        except Unavailable as error:
            answers.append(error)

    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
        async with trio.open_nursery() as nursery:
            store = SqliteStore(backend.path, run_sync=thread)
            await nursery.start(store.run)
            thread.gate, thread.error = trio.Event(), StoreBroken("disk I/O error")
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as callers:
                    callers.start_soon(ask, VERBS["enqueue"], store)
                    await thread.waiting.wait()
                    callers.start_soon(ask, VERBS["enqueue"], store)
                    callers.start_soon(ask, VERBS["settle"], store)
                    await trio.testing.wait_all_tasks_blocked()
                    thread.gate.set()
    assert isinstance(reason(caught.value), StoreBroken)
    assert len(answers) == 3
    assert sum(isinstance(error, Uncertain) for error in answers) == 1
    for verb in VERBS.values():
        with pytest.raises(Unavailable):
            await verb(store)


async def test_a_busy_database_is_told_to_all_at_once_and_then_forgotten(
    backend: SqliteBackend,
) -> None:
    thread = Thread()
    async with backend.open(run_sync=thread) as store:
        thread.calls.clear()
        thread.error = Unavailable("busy")
        answers: list[str] = []

        async def enqueue() -> None:
            try:
                await store.enqueue([new_job()])
            except Unavailable as error:
                answers.append(str(error))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(enqueue)
        assert answers == ["busy"] * 5
        assert thread.calls == [], "nobody waits five times for the same lock"
        thread.error = None
        await store.check_writable()
        assert await store.counts() == {}


async def test_a_full_disk_refuses_writes_loses_nothing_and_recovers(
    backend: SqliteBackend,
) -> None:
    async with backend.open() as store:
        kept = new_job()
        await store.enqueue([kept])
        pages = store.file.writer.pragma("page_count")
        store.file.writer.pragma("max_page_count", pages)
        with pytest.raises(Unavailable, match="full"):
            await store.enqueue([new_job(b'"' + b"x" * 100_000 + b'"')])
        assert await store.get([kept.id]) == {kept.id: Job.fresh(kept)}
        assert await store.counts() == backend.recount() == {"default": {State.QUEUED: 1}}
        store.file.writer.pragma("max_page_count", pages * 1_000)
        await store.enqueue([new_job(b'"' + b"x" * 100_000 + b'"')])
        assert len(await claim(store)) == 2


async def test_a_failed_transaction_leaves_nothing_that_could_spoil_the_next(
    backend: SqliteBackend,
) -> None:
    """What a verb lists in temp.moved must go with it."""
    async with backend.open() as store:
        await store.enqueue([new_job(), new_job()])
        one, other = await claim(store)
        backend.audit().execute(
            "create trigger no before update on jobs begin select raise(abort, 'no'); end"
        )
        with pytest.raises(apsw.ConstraintError):
            await store.settle([settlement(one.lease)], EPOCH)
        backend.audit().execute("drop trigger no")
        assert await store.settle([settlement(other.lease)], EPOCH) == {other.id}
        assert await store.counts() == backend.recount()
        assert (await store.get([one.id]))[one.id].state is State.RUNNING


async def test_jobs_that_are_too_large_together_are_claimed_in_parts(
    backend: SqliteBackend,
) -> None:
    """SQLite's answers end at a billion bytes: 31 uploads of the largest size, in hexadecimal."""
    async with backend.open() as store:
        await store.enqueue([new_job(bytes(10_000), "a/b") for _ in range(20)])
        store.file.writer.limit(apsw.SQLITE_LIMIT_LENGTH, 150_000)
        sizes = []
        while jobs := await claim(store, 20):
            sizes.append(len(jobs))
            assert all(job.payload == bytes(10_000) for job in jobs)
        assert sum(sizes) == 20
        assert await store.counts() == backend.recount() == {"default": {State.RUNNING: 20}}


async def test_jobs_that_are_too_large_together_are_shown_one_by_one(
    backend: SqliteBackend,
) -> None:
    async with backend.open() as store:
        jobs = [new_job(bytes(10_000), "a/b") for _ in range(20)]
        await store.enqueue(jobs)
        store.file._batch_reader.limit(apsw.SQLITE_LIMIT_LENGTH, 150_000)
        found: dict[str, Job] = {}

        async def get(id_: str) -> None:
            found.update(await store.get([id_]))

        async with trio.open_nursery() as nursery:
            for job in jobs:
                nursery.start_soon(get, job.id)
        assert len(found) == 20


async def test_a_connection_is_never_used_by_two_threads_at_a_time(
    backend: SqliteBackend,
) -> None:
    """apsw refuses that, and a client's list would have ended upkeep: ThreadingViolationError."""
    busy: set[str] = set()

    async def slow(call: Callable[..., T], *args: Any) -> T:
        name = getattr(call, "__name__", "")
        assert name not in busy, f"two threads in {name}"
        assert not busy or name != "_close", f"closed during {busy}"
        busy.add(name)
        for _ in range(5):
            await trio.lowlevel.cancel_shielded_checkpoint()
        busy.remove(name)
        return call(*args)

    async def client(store: SqliteStore) -> None:
        with contextlib.suppress(Unavailable):
            while True:
                for verb in VERBS.values():
                    await verb(store)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery, backend.open(run_sync=slow) as store:
            for _ in range(6):
                nursery.start_soon(client, store)
            for _ in range(300):
                await trio.lowlevel.checkpoint()


# ── with real threads ─────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_clients_that_list_and_count_at_the_same_time_do_not_trip_over_each_other(
    backend: SqliteBackend,
) -> None:
    """A connection of SQLite serves one thread at a time."""
    async with SqliteBackend(backend.path.parent).open(run_sync=in_thread) as store:
        await store.enqueue([new_job() for _ in range(2_000)])

        async def client() -> None:
            for _ in range(10):
                page = await store.list_jobs(Filter(), before=None, limit=500)
                assert len(page.jobs) == 500
                assert await store.counts() == {"default": {State.QUEUED: 2_000}}
                await store.promote(EPOCH, 10)
                assert len(await store.get([page.jobs[0].id])) == 1

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(client)


@pytest.mark.slow
async def test_closing_waits_for_those_who_are_still_reading(backend: SqliteBackend) -> None:
    async with trio.open_nursery() as nursery:
        store = SqliteStore(backend.path)
        await nursery.start(store.run)
        await store.enqueue([new_job() for _ in range(2_000)])

        async def client() -> None:
            with contextlib.suppress(Unavailable):
                while True:
                    await store.list_jobs(Filter(), before=None, limit=500)

        for _ in range(4):
            nursery.start_soon(client)
        await trio.sleep(0.1)
        store.close()
    assert not list(backend.path.parent.glob("*-wal"))


@pytest.mark.slow
async def test_threads_carry_the_whole_life_of_many_jobs(backend: SqliteBackend) -> None:
    async with SqliteBackend(backend.path.parent).open(run_sync=in_thread) as store:
        done: set[str] = set()

        async def produce() -> None:
            for _ in range(20):
                await store.enqueue([new_job() for _ in range(5)])

        async def work() -> None:
            while len(done) < 400:
                for job in await claim(store, 7):
                    assert await store.extend([job.lease], EPOCH + LEASE) == {job.id}
                    assert await store.settle([with_result(job, b"1")], EPOCH) == {job.id}
                    done.add(job.id)

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(produce)
                    nursery.start_soon(work)
        assert await store.counts() == {"default": {State.DONE: 400}}


async def test_nothing_is_acknowledged_into_a_file_that_nobody_will_find_again(
    backend: SqliteBackend,
) -> None:
    async def moved_away() -> None:
        async with backend.open() as store:
            await store.enqueue([new_job()])
            backend.path.rename(backend.path.with_name("elsewhere.db"))
            with pytest.raises(Unavailable):
                await store.enqueue([new_job()])
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        await moved_away()
    assert caught.value.subgroup(StoreBroken)


async def test_readiness_writes_to_the_disk(backend: SqliteBackend) -> None:
    async with backend.open() as store:
        wal = backend.path.with_name(backend.path.name + "-wal")
        before = wal.read_bytes()
        await store.check_writable()
        assert wal.read_bytes() != before


async def test_one_claim_takes_no_more_than_its_budget_of_bytes(backend: SqliteBackend) -> None:
    raw = [new_job(b"x" * 15_000_000, "application/x-raw", priority=n) for n in range(4)]
    async with backend.open() as store:
        for job in raw:
            await store.enqueue([job])
        assert [job.id for job in await claim(store)] == [raw[3].id, raw[2].id]
        assert [job.id for job in await claim(store)] == [raw[1].id, raw[0].id]
        assert backend.recount() == await store.counts()


def test_what_a_long_reader_has_made_of_the_wal_is_cut_when_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    wal = tmp_path / "jobs.db-wal"
    writer, reader = open_writer(path, durable=False), open_reader(path)
    writer.execute("create table ballast (data blob)")
    reader.execute("begin")
    reader.execute("select count(*) from ballast").fetchall()
    for _ in range(24):
        writer.execute("insert into ballast values (zeroblob(1000000))")
    assert wal.stat().st_size > 24_000_000
    reader.execute("rollback")
    for _ in range(2):  # one writes all of it back, the next begins anew
        writer.execute("insert into ballast values (zeroblob(1))")
    assert wal.stat().st_size <= MAX_IDLE_WAL
    reader.close()
    writer.close()
