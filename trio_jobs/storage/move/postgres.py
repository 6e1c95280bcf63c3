"""A PostgreSQL database as an end of a move. Needs the extra `postgres`."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg import RawCursor

from ...errors import MoveRefused, Unavailable
from ...redaction import without_secrets
from ..migrations import migrations
from ..postgres.failures import Again, Lost, meaning
from ..postgres.line import conninfo
from ..postgres.nul import hidden, hidden_text, shown, shown_text
from ..postgres.upkeep import bring_up
from ..queries import load
from .end import Batch, Marks
from .mark import VERSION, check_mark, check_schema, identity_of, name_of
from .tables import ALL, Row, Table

_SQL = load("move/postgres.sql")
LINGERING = 2.0  # seconds that a process which has just ended may still be seen
LOCKED = "55P03"

Connection = psycopg.Connection[Any]


@contextmanager
def source(url: str) -> Iterator["PostgresEnd"]:
    """The database that is read, within one transaction that keeps all others from writing.

    Raises MoveRefused, Unavailable, StoreError.
    """
    with _connected(url) as db:
        end = PostgresEnd(db)
        if not end.value("exists"):
            raise MoveRefused(f"{without_secrets(url)} has no tables of trio_jobs")
        if end.marked() is not None:
            raise MoveRefused("FROM is itself an unfinished move: finish that one first")
        end.check_schema("FROM")
        end.check_leases()
        end.check_alone("FROM")
        try:
            end.run("begin_source")
        except psycopg.Error as error:
            if error.sqlstate != LOCKED:
                raise
            raise MoveRefused("somebody writes to FROM: stop the service first") from error
        yield end


@contextmanager
def target(url: str, source: str) -> Iterator["PostgresEnd"]:
    """The database that is written to: made, or gone on with where it is marked as this move's.

    Raises MoveRefused, Unavailable, StoreError.
    """
    with _connected(url) as db:
        end = PostgresEnd(db)
        end.run("target_settings")
        if not end.value("hold_target"):
            raise MoveRefused("another move to TO is under way")
        exists = end.value("exists")
        if exists and end.identity() == source:
            raise MoveRefused("FROM and TO are the same database")
        end.check_alone("TO")
        found = end.marked() if exists else None
        if found is None:
            bring_up(url)
            _begin(end, db, source)
        else:
            check_mark(found, source)
        end.check_schema("TO")
        yield end


def _begin(end: "PostgresEnd", db: Connection, source: str) -> None:
    with db.transaction():
        if any(end.count(table) for table in ALL):
            raise MoveRefused("TO is not empty, and jobs of two databases are not mixed")
        end.run("mark", VERSION, name_of(source))


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    try:
        db = psycopg.connect(
            conninfo(url),
            autocommit=True,
            cursor_factory=RawCursor,
            application_name="trio-jobs move",  # so that the two ends do not count each other
        )
    except psycopg.Error as error:
        said = without_secrets(str(error).strip())
        raise Unavailable(f"the database cannot be reached: {said}") from None
    with closing(db), _translated():
        yield db


@contextmanager
def _translated() -> Iterator[None]:
    """Turns PostgreSQL's errors into ours."""
    try:
        yield
    except psycopg.Error as error:
        said = error.diag.message_primary or str(error).strip()
        if error.sqlstate is None:
            raise Unavailable(f"the database went away: {said}") from error
        found = meaning(error.sqlstate, said)
        if isinstance(found, Lost):
            raise Unavailable(f"the database went away: {said}") from error
        raise (found.refusal if isinstance(found, Again) else found) from error


class PostgresEnd:
    """See `end.End` and `end.Target`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def run(self, query: str, *args: Any) -> None:
        """Several statements, when there are no arguments."""
        self._db.execute(_SQL[query], args or None)

    def rows(self, query: str, *args: Any) -> list[Row]:
        return self._db.execute(_SQL[query], args or None).fetchall()

    def value(self, query: str, *args: Any) -> Any:
        found = self.rows(query, *args)
        return found[0][0] if found else None

    def identity(self) -> str:
        return identity_of("postgres", self.value("born"))

    def marked(self) -> str | None:
        found: str | None = self.value("marked", VERSION)
        return found

    def check_schema(self, where: str) -> None:
        check_schema(where, self.value("version", VERSION), len(migrations("postgres")))

    def check_leases(self) -> None:
        """Raises MoveRefused while somebody runs jobs. What has no lease any more was left behind
        by a worker that died, and is rescued where it goes."""
        [(running, seconds)] = self.rows("leased")
        if running:
            raise MoveRefused(
                f"FROM has running jobs ({running:,}): stop the service. If it was killed, their "
                f"leases end in {seconds:.0f} s"
            )

    def check_alone(self, which: str) -> None:
        """Raises MoveRefused while other processes of ours are connected."""
        stop = time.monotonic() + LINGERING
        while others := self.value("others"):
            if time.monotonic() > stop:
                raise MoveRefused(
                    f"{which} is in use: trio_jobs has {others} connections to it. Stop the "
                    "services that work on it"
                )
            time.sleep(0.1)

    def marks(self) -> Marks:
        return Marks(self.value("job_mark"), self.value("change_mark"))

    def weights(self, after: int, most: int) -> Sequence[tuple[int, int]]:
        return [(seq, size) for seq, size in self.rows("weights", after, most)]

    def range(self, table: Table, after: int, upto: int) -> Sequence[Row]:
        return _shown(table, self.rows(f"read_{table.name}", after, upto))

    def page(self, table: Table, after: str, most: int) -> Sequence[Row]:
        return _shown(table, self.rows(f"read_{table.name}", hidden_text(after), most))

    def count(self, table: Table) -> int:
        return int(self.value(f"count_{table.name}"))

    def last_job(self) -> int:
        return int(self.value("last_job"))

    def last_name(self, table: Table) -> str:
        return shown_text(self.value(f"last_{table.name}"))

    def put(self, batch: Batch) -> None:
        with self._db.transaction():
            for table, rows in batch.items():
                self._copy(table, rows)

    def _copy(self, table: Table, rows: Sequence[Row]) -> None:
        json = [name in table.json for name in table.columns]
        with self._db.cursor() as cursor, cursor.copy(_SQL[f"write_{table.name}"]) as copy:
            for row in rows:
                copy.write_row(
                    [
                        (hidden(cell) if is_json else hidden_text(cell))
                        if isinstance(cell, str)
                        else cell
                        for cell, is_json in zip(row, json, strict=True)
                    ]
                )

    def settle(self, marks: Marks) -> None:
        """Changes have numbers of the server's own: whoever asks for what came after one from
        elsewhere hears that some is forgotten."""
        with self._db.transaction():
            self.run("settle_counts")
            self.run("settle_jobs", marks.job)

    def finish(self) -> None:
        self.run("unmark", VERSION)


def _shown(table: Table, rows: list[Row]) -> list[Row]:
    json = [name in table.json for name in table.columns]
    return [
        tuple(
            (shown(cell) if is_json else shown_text(cell)) if isinstance(cell, str) else cell
            for cell, is_json in zip(row, json, strict=True)
        )
        for row in rows
    ]
