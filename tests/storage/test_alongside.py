"""Jobs made in a transaction of somebody else's share its fate, and are like any other."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from trio_jobs.errors import Conflict, InvalidInput, StoreError
from trio_jobs.job import State
from trio_jobs.storage.alongside import OLDEST, enqueue_in

from ..conftest import EPOCH
from .conftest import SqliteBackend, on_sqlite
from .jobs import due_in, keyed, new_job

pytestmark = on_sqlite


@pytest.fixture
def mine(backend: SqliteBackend) -> Iterator[apsw.Connection]:
    """Somebody's own connection."""
    db = apsw.Connection(str(backend.path))
    yield db
    db.close()


async def test_a_job_is_there_when_the_transaction_commits_and_never_was_when_it_does_not(
    store: Any, backend: SqliteBackend, mine: apsw.Connection
) -> None:
    before = await store.changes(None, 1)
    mine.execute("create table orders (id)")
    with mine:
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


async def test_it_is_stored_as_any_other(store: Any, mine: apsw.Connection) -> None:
    options: dict[str, Any] = {"tags": ["a"], "timeout": 3.0, "deadline": EPOCH + 9, "backoff": [1]}
    ours, theirs = new_job(**options), new_job(**options)
    await store.enqueue([ours])
    with mine:
        enqueue_in(mine, theirs)
    jobs = await store.get([ours.id, theirs.id])
    assert msgspec.structs.replace(jobs[theirs.id], id=ours.id) == jobs[ours.id]
    claimed = await store.claim("w", [ours.type], 5, EPOCH, EPOCH + 60)
    assert [job.id for job in claimed] == [ours.id, theirs.id]


async def test_a_scheduled_one_and_raw_bytes_keep_what_they_are(
    store: Any, mine: apsw.Connection
) -> None:
    job = due_in(60, payload=b"\xff\0", content_type="image/png")
    with mine:
        enqueue_in(mine, job)
    [found] = (await store.get([job.id])).values()
    assert (found.state, found.payload_hex) == (State.SCHEDULED, "FF00")
    assert (await store.promote(EPOCH + 60, 10)).moved == 1


async def test_a_unique_key_is_decided_by_the_same_index(store: Any, mine: apsw.Connection) -> None:
    holder = keyed("k")
    await store.enqueue([holder])
    with mine:
        assert enqueue_in(mine, keyed("k")) == holder.id
        with pytest.raises(Conflict, match=holder.id):
            enqueue_in(mine, keyed("k", on_conflict="reject"))
        with pytest.raises(InvalidInput):
            enqueue_in(mine, keyed("k", on_conflict="replace"))
    await store.cancel([holder.id], EPOCH)
    with mine:
        lapsed = keyed("k", EPOCH)
        assert enqueue_in(mine, lapsed) == lapsed.id
        new = keyed("k")
        assert enqueue_in(mine, new) == new.id


async def test_without_a_transaction_nothing_is_stored(store: Any, mine: apsw.Connection) -> None:
    with pytest.raises(ValueError, match="in no transaction"):
        enqueue_in(mine, new_job())
    assert await store.counts() == {}


@pytest.mark.skipif(sqlite3.sqlite_version_info >= OLDEST, reason="its SQLite is new enough")
async def test_an_old_sqlite_is_kept_away_from_the_file(
    store: Any, backend: SqliteBackend, tmp_path: Path
) -> None:
    db = sqlite3.connect(tmp_path / "elsewhere.db")
    db.execute("begin")
    with pytest.raises(StoreError, match="connect with apsw"):
        enqueue_in(db, new_job())
    db.close()


@pytest.mark.skipif(sqlite3.sqlite_version_info < OLDEST, reason="its SQLite is too old")
async def test_pythons_own_sqlite_will_do(store: Any, backend: SqliteBackend) -> None:
    db = sqlite3.connect(backend.path)
    with db:
        db.execute("begin")
        id_ = enqueue_in(db, new_job())
    db.close()
    assert id_ in await store.get([id_])
