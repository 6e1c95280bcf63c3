"""Jobs made in a transaction of somebody else's share its fate, and are like any other."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import apsw
import msgspec
import pytest

from trio_jobs.errors import Conflict, InvalidInput, StoreError
from trio_jobs.job import State
from trio_jobs.storage.alongside import OLDEST, enqueue_in

from ..conftest import EPOCH
from .conftest import SqliteBackend, on_sqlite
from .jobs import due_in, keyed, new_job

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def mine(backend: Any) -> Iterator[Any]:
    """Somebody's own connection."""
    if isinstance(backend, SqliteBackend):
        db: Any = apsw.Connection(str(backend.path))
    else:
        psycopg = pytest.importorskip("psycopg")
        db = psycopg.connect(backend.url, autocommit=True)
        db.execute("drop table if exists orders")
    yield db
    db.close()


@contextmanager
def transaction(db: Any) -> Iterator[None]:
    db.execute("begin")
    try:
        yield
    except BaseException:
        db.execute("rollback")
        raise
    db.execute("commit")


async def test_a_job_is_there_when_the_transaction_commits_and_never_was_when_it_does_not(
    store: Any, backend: Any, mine: Any
) -> None:
    before = await store.changes(None, 1)
    mine.execute("create table orders (id integer)")
    with transaction(mine):
        mine.execute("insert into orders values (1)")
        kept = enqueue_in(mine, new_job(tags=["a"], params={"x": "1"}))
        assert await store.get([kept]) == {}
    lost = new_job()
    mine.execute("begin")
    enqueue_in(mine, lost)
    mine.execute("rollback")
    assert set(await store.get([kept, lost.id])) == {kept}
    assert await store.counts() == backend.recount()
    changes = await store.changes(before.last, 10)
    assert [change.id for change in changes.changes] == [kept]


async def test_it_is_stored_as_any_other(store: Any, mine: Any) -> None:
    options: dict[str, Any] = {"tags": ["a"], "timeout": 3.0, "deadline": EPOCH + 9, "backoff": [1]}
    ours, theirs = new_job(**options), new_job(**options)
    await store.enqueue([ours])
    with transaction(mine):
        enqueue_in(mine, theirs)
    jobs = await store.get([ours.id, theirs.id])
    assert msgspec.structs.replace(jobs[theirs.id], id=ours.id) == jobs[ours.id]
    claimed = await store.claim("w", [ours.type], 5, EPOCH, EPOCH + 60)
    assert [job.id for job in claimed] == [ours.id, theirs.id]


async def test_a_scheduled_one_and_raw_bytes_keep_what_they_are(store: Any, mine: Any) -> None:
    job = due_in(60, payload=b"\xff\0", content_type="image/png")
    with transaction(mine):
        enqueue_in(mine, job)
    [found] = (await store.get([job.id])).values()
    assert (found.state, (found.payload_hex or "").upper()) == (State.SCHEDULED, "FF00")
    assert (await store.promote(EPOCH + 60, 10)).moved == 1


async def test_a_unique_key_is_decided_by_the_same_index(store: Any, mine: Any) -> None:
    holder = keyed("k")
    await store.enqueue([holder])
    with transaction(mine):
        assert enqueue_in(mine, keyed("k")) == holder.id
        with pytest.raises(Conflict, match=holder.id):
            enqueue_in(mine, keyed("k", on_conflict="reject"))
        with pytest.raises(InvalidInput):
            enqueue_in(mine, keyed("k", on_conflict="replace"))
    await store.cancel([holder.id], EPOCH)
    with transaction(mine):
        lapsed = keyed("k", EPOCH)
        assert enqueue_in(mine, lapsed) == lapsed.id
        new = keyed("k")
        assert enqueue_in(mine, new) == new.id


async def test_without_a_transaction_nothing_is_stored(store: Any, mine: Any) -> None:
    with pytest.raises(ValueError, match="in no transaction"):
        enqueue_in(mine, new_job())
    assert await store.counts() == {}


@on_sqlite
@pytest.mark.skipif(sqlite3.sqlite_version_info >= OLDEST, reason="its SQLite is new enough")
async def test_an_old_sqlite_is_kept_away_from_the_file(
    store: Any, backend: SqliteBackend, tmp_path: Path
) -> None:
    db = sqlite3.connect(tmp_path / "elsewhere.db")
    db.execute("begin")
    with pytest.raises(StoreError, match="connect with apsw"):
        enqueue_in(db, new_job())
    db.close()


@on_sqlite
@pytest.mark.skipif(sqlite3.sqlite_version_info < OLDEST, reason="its SQLite is too old")
async def test_pythons_own_sqlite_will_do(store: Any, backend: SqliteBackend) -> None:
    db = sqlite3.connect(backend.path)
    with db:
        db.execute("begin")
        id_ = enqueue_in(db, new_job())
    db.close()
    assert id_ in await store.get([id_])


@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
async def test_whoever_speaks_sql_can_enqueue(store: Any, mine: Any) -> None:
    def enqueued(*args: str) -> str:
        names = ", ".join(["%s", "%s::json", "%s::jsonb"][: len(args)])
        [(id_,)] = mine.execute(f"select trio_jobs_enqueue({names})", args)
        return str(id_)

    plain = enqueued("noop")
    options = '{"queue":"q","priority":3,"delay":60,"tags":["a"],"unique_key":"k","timeout":2.5}'
    full = enqueued("noop", '{"n": 1}', options)
    assert enqueued("noop", "{}", options) == full
    jobs = await store.get([plain, full])
    assert (jobs[plain].state, jobs[plain].max_attempts) == (State.QUEUED, 5)
    job = jobs[full]
    assert (job.state, job.queue, job.priority, job.tags) == (State.SCHEDULED, "q", 3, ["a"])
    assert (job.payload_text, job.timeout, job.unique_key) == ('{"n": 1}', 2.5, "k")
    assert job.run_at == job.created_at + 60
    assert UUID(full).version == 7
    assert plain < full, "ids are in the order of time"
    for wrong in (("no such name!",), ("noop", "{}", '{"colour":"red"}')):
        with pytest.raises(Exception, match="trio_jobs: "):
            enqueued(*wrong)


@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
async def test_the_sql_of_the_readme_works(store: Any, mine: Any) -> None:
    (example,) = re.findall(r"```sql\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    mine.execute("create table orders (number integer)")
    mine.execute(example)
    counts = await store.counts()
    assert counts == {"mail": {State.SCHEDULED: 1}}
