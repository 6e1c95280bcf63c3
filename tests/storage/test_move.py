"""A database that moves arrives whole, whatever the two are, and however often it is stopped."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw.ext
import pytest

from trio_jobs.errors import MoveRefused, SchemaMismatch, StoreError, StoreLocked
from trio_jobs.job import State
from trio_jobs.storage import is_postgres, postgres_end, sqlite_path
from trio_jobs.storage.move import Moved, move, mover
from trio_jobs.storage.move.sqlite import SqliteEnd
from trio_jobs.storage.move.tables import ALL
from trio_jobs.storage.presence import Presence
from trio_jobs.storage.queries import load
from trio_jobs.storage.records import Key
from trio_jobs.storage.tokens import Token

from ..conftest import EPOCH
from ..postgres import Server
from .everything import FAR, fill, seen, serving
from .jobs import claim_one, keyed, new_job

WAYS = [(a, b) for a in ("sqlite", "postgres") for b in ("sqlite", "postgres")]

Make = Callable[[str], str]


@pytest.fixture
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """The URL of a new database of this kind."""
    names = (f"move_{n}" for n in itertools.count())
    made: list[str] = []

    def ask(sql: str) -> None:
        import psycopg

        server: Server = request.getfixturevalue("postgres")
        with psycopg.connect(server.url(), autocommit=True) as db:
            db.execute(sql)

    def new(kind: str) -> str:
        name = next(names)
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / name}.db"
        server: Server = request.getfixturevalue("postgres")
        ask(f"create database {name}")
        made.append(name)
        return server.url(name)

    yield new
    for name in made:
        ask(f"drop database {name} with (force)")


def value(url: str, sql: str) -> Any:
    """The one value that a statement answers with, if it does."""
    if is_postgres(url):
        import psycopg

        with psycopg.connect(url, autocommit=True) as db:
            found = db.execute(sql)
            return found.fetchone()[0] if found.description else None
    with closing(apsw.Connection(str(sqlite_path(url)))) as db:
        return db.execute(sql).get


def quiet(*_: int) -> None:
    pass


def moved(from_: str, to: str, told: Callable[[int, int], None] = quiet) -> Moved:
    return move(from_, to, moved=told, compared=quiet)


def expire(url: str) -> None:
    """Leases end, as they do some time after a service was killed."""
    value(url, "update jobs set lease_expires_at = 1.5 where state = 'running'")


every_way = pytest.mark.parametrize(
    ("here", "there"), WAYS, ids=[f"from-{a}-to-{b}" for a, b in WAYS]
)


@every_way
async def test_all_that_was_seen_is_seen_there(make: Make, here: str, there: str) -> None:
    from_, to, back = make(here), make(there), make(here)
    async with serving(from_) as store:
        await fill(store)
    expire(from_)
    before = await seen(from_)
    assert {job.state for job in before["jobs"]} == set(State) - {State.WAITING}
    result = moved(from_, to)
    assert result.rows["jobs"] == len(before["jobs"])
    assert result.rows["logs"] == 6
    assert result.rows["tokens"] == 2
    assert await seen(to) == before
    moved(to, back)
    assert await seen(back) == before
    assert await seen(from_) == before


@every_way
async def test_the_service_goes_on_where_it_was(make: Make, here: str, there: str) -> None:
    from_, to = make(here), make(there)
    async with serving(from_) as store:
        await fill(store)
        last = (await store.changes(None, 1)).last
    expire(from_)
    moved(from_, to)
    async with serving(to) as store:
        assert (await store.counts()) == (await seen_counts(from_))
        again = await store.enqueue([new_job()], Key("key é", "print", FAR))
        assert again.replayed, "the idempotency key is known"
        twin = keyed("until it ends", type="u")
        assert (await store.enqueue([twin])).ids != [twin.id], "the unique key is held"
        rescued = await store.rescue(EPOCH, 100)
        assert rescued.requeued == 1, "what ran runs again; or not, as was asked"
        await store.enqueue([new_job()])
        assert value(to, "select max(seq) from jobs") > value(from_, NUMBERS[here])
        if there == "sqlite":
            assert (await store.changes(None, 1)).last > last
            assert not (await store.changes(1, 10)).complete, "an old number is of another history"


NUMBERS = {"sqlite": "select seq from seq_floor", "postgres": "select last_value from job_numbers"}


async def seen_counts(url: str) -> Any:
    async with serving(url) as store:
        return await store.counts()


class Killed(BaseException):
    """As if by SIGKILL: nothing is done about it."""


@every_way
async def test_it_goes_on_from_wherever_it_was_stopped(
    make: Make, here: str, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mover, "JOBS_AT_ONCE", 2)
    from_, to = make(here), make(there)
    async with serving(from_) as store:
        await fill(store, more=7)
    expire(from_)
    before = await seen(from_)
    reached = 0
    for attempt in range(8):
        with stopping(there, before_write=attempt % 2 == 0), pytest.raises(Killed):
            moved(from_, to)
        assert (await refusal(to)).startswith("the database is the target of a move")
        reached, was = value(to, "select count(*) from jobs"), reached
        assert reached > was
    result = moved(from_, to)
    assert result.began_at == reached < len(before["jobs"])
    assert await seen(to) == before


@every_way
async def test_what_has_names_goes_on_as_well(
    make: Make, here: str, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mover, "JOBS_AT_ONCE", 2)
    from_, to = make(here), make(there)
    async with serving(from_) as store:
        for n in range(7):
            await store.add_token(Token(f"ü{n}", f"h{n}", "", [], None, None, EPOCH, None))
            await store.enqueue([new_job()], Key(f"key {n}", "print", FAR))
    before = await seen(from_)
    for _ in range(10):
        with stopping(there, before_write=False), pytest.raises(Killed):
            moved(from_, to)
    result = moved(from_, to)
    assert (result.rows["tokens"], result.rows["idempotency_keys"]) == (7, 7)
    assert await seen(to) == before


async def test_a_batch_is_small_however_large_its_jobs_are(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mover, "BYTES_AT_ONCE", 1_000)
    from_, to = make("sqlite"), make("sqlite")
    async with serving(from_) as store:
        for size in (600, 600, 10, 10, 5_000):
            await store.enqueue([new_job(b"x" * size, "text/plain")])
    steps: list[int] = []
    moved(from_, to, lambda done, _: steps.append(done))
    assert steps == [1, 4, 5]


@contextmanager
def stopping(kind: str, *, before_write: bool) -> Iterator[None]:
    """The second write of a move is its last, or the first is."""
    end: Any = SqliteEnd if kind == "sqlite" else postgres_end().PostgresEnd
    put = end.put
    writes = itertools.count(1)

    def stopped(self: Any, batch: Any) -> None:
        nth = next(writes)
        if before_write and nth == 2:
            raise Killed
        put(self, batch)
        if not before_write:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(end, "put", stopped)
        yield


async def refusal(url: str) -> str:
    """Why no service starts on it."""
    with pytest.raises(ExceptionGroup) as caught:
        async with serving(url):
            pass
    [error] = caught.value.exceptions
    while isinstance(error, ExceptionGroup):
        [error] = error.exceptions
    assert isinstance(error, SchemaMismatch)
    return str(error)


@pytest.mark.parametrize("there", ["sqlite", pytest.param("postgres", id="to-postgres")])
async def test_jobs_are_not_mixed(make: Make, there: str) -> None:
    from_, other, to = make("sqlite"), make("sqlite"), make(there)
    for url in (from_, other, to):
        async with serving(url) as store:
            await store.enqueue([new_job()])
    with pytest.raises(MoveRefused, match="not empty"):
        moved(from_, to)
    assert value(to, "select count(*) from jobs") == 1
    unfinished = make(there)
    with stopping(there, before_write=False), pytest.raises(Killed):
        moved(from_, unfinished)
    with pytest.raises(MoveRefused, match="unfinished move of another database"):
        moved(other, unfinished)
    with pytest.raises(MoveRefused, match="itself an unfinished move"):
        moved(unfinished, make("sqlite"))


async def test_a_file_that_somebody_has_is_let_alone(make: Make, tmp_path: Path) -> None:
    from_, to = make("sqlite"), make("sqlite")
    async with serving(from_):
        with pytest.raises(StoreLocked, match="in use"):
            moved(from_, to)
    assert not sqlite_path(to).exists()
    async with serving(to):
        with pytest.raises(StoreLocked, match="in use"):
            moved(from_, to)
    with pytest.raises(MoveRefused, match="same database"):
        moved(from_, from_)
    with pytest.raises(MoveRefused, match="there is no database"):
        moved(f"sqlite:///{tmp_path}/nothing.db", to)
    sqlite_path(to).unlink()
    with closing(apsw.Connection(str(sqlite_path(to)))) as db:
        db.execute("create table theirs (x)")
    with pytest.raises(MoveRefused, match="no database of trio_jobs"):
        moved(from_, to)
    with pytest.raises(MoveRefused, match="no database of trio_jobs"):
        moved(to, from_)
    assert Presence(sqlite_path(from_), shared=False).leave() is None, "nobody holds it afterwards"


async def test_a_server_that_somebody_uses_is_let_alone(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_end(), "LINGERING", 0.0)
    server, file = make("postgres"), make("sqlite")
    async with serving(file) as store:
        await store.enqueue([new_job()])
    async with serving(server):
        with pytest.raises(MoveRefused, match="connections to it"):
            moved(server, make("sqlite"))
        with pytest.raises(MoveRefused, match="connections to it"):
            moved(file, server)
    with pytest.raises(MoveRefused, match="same database"):
        moved(server, server)


async def test_a_target_that_was_only_begun_to_be_made_is_made(make: Make) -> None:
    from_, to = make("sqlite"), make("sqlite")
    async with serving(from_) as store:
        await store.enqueue([new_job()])
    with closing(apsw.Connection(str(sqlite_path(to)))) as db:
        db.pragma("journal_mode", "wal")
    with pytest.raises(MoveRefused, match="no database of trio_jobs"):
        moved(to, from_)
    assert moved(from_, to).rows["jobs"] == 1


async def test_a_source_of_an_older_version_is_brought_up_to_date_first(make: Make) -> None:
    from_ = make("sqlite")
    async with serving(from_):
        pass
    value(
        from_,
        "delete from schema_version where version = (select max(version) from schema_version)",
    )
    with pytest.raises(MoveRefused, match="trio-jobs migrate"):
        moved(from_, make("sqlite"))


async def test_jobs_that_run_keep_a_server_from_moving(make: Make) -> None:
    server = make("postgres")
    async with serving(server) as store:
        await store.enqueue([new_job()])
        await claim_one(store, now=store.now())
    with pytest.raises(MoveRefused, match=r"running jobs \(1\)"):
        moved(server, make("sqlite"))


@every_way
async def test_nobody_writes_meanwhile(make: Make, here: str, there: str) -> None:
    from_, to = make(here), make(there)
    async with serving(from_) as store:
        await store.enqueue([new_job(), new_job()])
    errors = []

    def disturb(*_: int) -> None:
        try:
            value(from_, WRITES[here])
        except Exception as error:
            errors.append(type(error).__name__)

    moved(from_, to, disturb)
    assert errors in (["BusyError"], ["LockNotAvailable"])


WRITES = {
    "sqlite": "update jobs set priority = 1",
    "postgres": "set lock_timeout = '50ms'; update jobs set priority = 1",
}


async def test_what_changed_since_the_move_began_is_found(make: Make) -> None:
    from_, to = make("sqlite"), make("sqlite")
    async with serving(from_) as store:
        await store.enqueue([new_job(), new_job()])
    with stopping("sqlite", before_write=False), pytest.raises(Killed):
        moved(from_, to)
    value(from_, "update payloads set body = '{ }' where seq = 1")
    with pytest.raises(StoreError, match="the payloads in TO are not those in FROM"):
        moved(from_, to)
    assert "has not ended" in await refusal(to)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", id="on-postgres")])
async def test_no_column_is_forgotten(make: Make, kind: str) -> None:
    """A migration that adds a table or a column must say how it moves."""
    url = make(kind)
    async with serving(url):
        pass
    known = {table.name: set(table.columns) for table in ALL}
    forgotten = {
        (table, column)
        for table, column in json.loads(value(url, COLUMNS[kind]))
        if column not in known.get(table, set()) | KEPT_OTHERWISE[kind].get(table, set())
        and table not in REBUILT
    }
    assert not forgotten


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", id="on-postgres")])
async def test_rows_have_their_columns_in_order(make: Make, kind: str) -> None:
    url = make(kind)
    async with serving(url):
        pass
    for table in ALL:
        assert described(url, load(f"move/{kind}.sql")[f"read_{table.name}"]) == table.columns


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", id="for-postgres")])
def test_every_query_is_asked_for_somewhere(kind: str) -> None:
    code = (Path(mover.__file__).parent / f"{kind}.py").read_text()
    tables = {table.name for table in ALL} | {"results"}
    unused = {
        name
        for name in load(f"move/{kind}.sql")
        if f'"{name}"' not in code and name.partition("_")[2] not in tables
    }
    assert not unused


REBUILT = {"counts", "changes", "changes_floor", "seq_floor", "schema_version"}
KEPT_OTHERWISE = {
    "sqlite": {
        "payloads": {"body"},
        "results": {"seq", "body", "content_type"},
        "attempts": {"id"},
    },
    "postgres": {"attempts": {"id"}},
}
COLUMNS = {
    "sqlite": """
        select json_group_array(json_array(t.name, c.name))
        from pragma_table_list as t, pragma_table_info(t.name) as c
        where t.schema = 'main' and t.type = 'table' and t.name not like 'sqlite_%'
    """,
    "postgres": """
        select json_agg(json_build_array(table_name, column_name))::text
        from information_schema.columns where table_schema = current_schema()
    """,
}


def described(url: str, sql: str) -> tuple[str, ...]:
    """The names of what a query answers with."""
    if is_postgres(url):
        import psycopg

        with psycopg.connect(url, cursor_factory=psycopg.RawCursor) as db:
            arguments = ("", 1) if "limit" in sql else (0, 0)
            return tuple(column.name for column in db.execute(sql, arguments).description or ())
    with closing(apsw.Connection(str(sqlite_path(url)))) as db:
        return tuple(name for name, _ in apsw.ext.query_info(db, sql).description)
