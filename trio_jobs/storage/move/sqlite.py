"""A SQLite file as an end of a move."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from ...disk import make_directory
from ...errors import MoveRefused
from ..connection import BUSY_TIMEOUT, open_writer, translated
from ..migrations import migrations
from ..presence import Presence
from ..queries import load
from .end import Batch, Marks
from .mark import VERSION, check_mark, check_schema, identity_of, name_of
from .tables import ALL, JOBS, Row, Table

_SQL = load("move/sqlite.sql")
_SCHEMA = load("sqlite.sql")


@contextmanager
def source(path: Path) -> Iterator["SqliteEnd"]:
    """The file that is read. Held like a service holds it, and with SQLite's own lock against
    commands that write beside one; nothing is written.

    Raises StoreLocked, MoveRefused, Unavailable, StoreBroken.
    """
    if not path.is_file():
        raise MoveRefused(f"there is no database {path}")
    with _present(path), closing(_connect(path)) as db, translated():
        end = SqliteEnd(db)
        _check_ours(db, path)
        if not end.exists():
            raise MoveRefused(f"{path} is no database of trio_jobs")
        if end.marked() is not None:
            raise MoveRefused(f"{path} is itself an unfinished move: finish that one first")
        end.check_schema(str(path))
        db.execute("begin immediate")
        yield end


@contextmanager
def target(path: Path, source: str) -> Iterator["SqliteEnd"]:
    """The file that is written to: made, or gone on with where it is marked as this move's.

    Raises StoreLocked, MoveRefused, Unavailable, StoreError.
    """
    make_directory(path.parent)
    _check_other(path, source)  # before the lock, which would only say that we have it ourselves
    with _present(path):
        found = _mark_of(path)
        if found is None:
            _begin(path, source)
        else:
            check_mark(found, source)
        with closing(_connect(path)) as db, translated():
            db.pragma("synchronous", "full")
            end = SqliteEnd(db)
            end.check_schema(str(path))
            yield end


@contextmanager
def _present(path: Path) -> Iterator[None]:
    presence = Presence(path, shared=False)
    try:
        yield
    finally:
        presence.leave()


def _check_other(path: Path, source: str) -> None:
    if not path.is_file():
        return
    with closing(_connect(path)) as db, translated():
        _check_ours(db, path)
        end = SqliteEnd(db)
        if end.exists() and end.identity() == source:
            raise MoveRefused("FROM and TO are the same database, or one is a copy of the other")


def _mark_of(path: Path) -> str | None:
    if not path.is_file():
        return None
    with closing(_connect(path)) as db, translated():
        end = SqliteEnd(db)
        return end.marked() if end.exists() else None


def _begin(path: Path, source: str) -> None:
    with closing(open_writer(path, durable=True)) as db, translated(), db:
        end = SqliteEnd(db)
        if any(end.count(table) for table in ALL):
            raise MoveRefused(f"{path} is not empty, and jobs of two databases are not mixed")
        db.execute(_SQL["mark"], (VERSION, name_of(source)))


def _connect(path: Path) -> apsw.Connection:
    with translated():
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        db.set_busy_timeout(int(BUSY_TIMEOUT * 1000))
        return db


def _check_ours(db: apsw.Connection, path: Path) -> None:
    if db.execute(_SCHEMA["schema_foreign"]).get:
        raise MoveRefused(f"{path} is no database of trio_jobs")


class SqliteEnd:
    """See `end.End` and `end.Target`."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def _value(self, query: str, *args: Any) -> Any:
        return self._db.execute(_SQL[query], args).get

    def exists(self) -> bool:
        """Is it more than a file that somebody has begun to make?"""
        return bool(self._value("exists"))

    def identity(self) -> str:
        return identity_of("sqlite", repr(self._value("born")))

    def marked(self) -> str | None:
        found: str | None = self._value("marked", VERSION)
        return found

    def check_schema(self, where: str) -> None:
        check_schema(where, self._value("version", VERSION), len(migrations("sqlite")))

    def marks(self) -> Marks:
        return Marks(self._value("job_mark"), self._value("change_mark"))

    def weights(self, after: int, most: int) -> Sequence[tuple[int, int]]:
        return [(seq, size) for seq, size in self._db.execute(_SQL["weights"], (after, most))]

    def range(self, table: Table, after: int, upto: int) -> Sequence[Row]:
        return list(self._db.execute(_SQL[f"read_{table.name}"], (after, upto)))

    def page(self, table: Table, after: str, most: int) -> Sequence[Row]:
        return list(self._db.execute(_SQL[f"read_{table.name}"], (after, most)))

    def count(self, table: Table) -> int:
        return int(self._value(f"count_{table.name}"))

    def last_job(self) -> int:
        return int(self._value("last_job"))

    def last_name(self, table: Table) -> str:
        return str(self._value(f"last_{table.name}"))

    def put(self, batch: Batch) -> None:
        with self._db:
            for table, rows in batch.items():
                if table is JOBS:
                    self._put_jobs(rows)
                else:
                    self._db.executemany(_SQL[f"write_{table.name}"], rows)

    def _put_jobs(self, rows: Sequence[Row]) -> None:
        """Results have a table of their own here: the last three columns."""
        self._db.executemany(_SQL["write_jobs"], (row[:-3] for row in rows))
        results = ((row[0], *row[-3:]) for row in rows if row[-1] is not None)
        self._db.executemany(_SQL["write_results"], results)

    def settle(self, marks: Marks) -> None:
        with self._db:
            self._db.execute(_SQL["settle_counts"])
            self._db.execute(_SQL["settle_jobs"], (marks.job,))
            self._db.execute(_SQL["settle_changes"], (marks.change,))

    def finish(self) -> None:
        with self._db:
            self._db.execute(_SQL["unmark"], (VERSION,))
