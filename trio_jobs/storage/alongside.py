"""Enqueueing within a transaction of somebody else's, on the same database.

The job is there when that transaction commits, together with whatever else it changes; rolled back,
it never was. On a SQLite file, workers hear of it at their next look (`poll_interval`): nobody
rings for them. PostgreSQL tells them.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Protocol

from ..errors import Conflict, InvalidInput, StoreError
from .queries import load
from .records import NewJob
from .write import as_json

OLDEST = (3, 51, 3)
"""SQLite before it may corrupt a database in WAL mode that two connections write to: the WAL-reset
bug of 3.7.0 to 3.51.2 (sqlite.org/wal.html)."""

NOT_BEGUN = "the connection is in no transaction: begin one, and commit it afterwards"

_SQL = load("sqlite.sql")


class Connection(Protocol):
    """What connections of sqlite3, apsw and psycopg have in common."""

    def execute(self, sql: Any, args: Sequence[Any], /) -> Iterable[Any]: ...


def enqueue_in(db: Connection, job: NewJob) -> str:
    """Stores `job`; the id of what stands for it (another job that holds its unique key, perhaps).

    Raises ValueError outside of a transaction, StoreError for a SQLite that is too old, Conflict
    and InvalidInput for a unique key that is taken, and what `db` raises. It blocks.
    """
    row = as_json(job)
    if hasattr(db, "pgconn"):
        return _on_postgres(db, job, row)
    _check(db)
    if job.unique_key is not None:
        _run(db, "lapse", row)
    new = _run(db, "insert_job", row)
    if not new:
        return _holder(db, job, row)
    [[seq]] = new
    _run(db, "insert_payload", row, seq)
    if job.callback_url is not None:
        _run(db, "insert_callback", seq, job.callback_url)
    _run(db, "count_job", row)
    _run(db, "tell_of_job", row, seq)
    return job.id


def _check(db: Any) -> None:
    if not db.in_transaction:
        raise ValueError(NOT_BEGUN)
    [[version]] = _run(db, "version")
    if tuple(map(int, version.split("."))) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise StoreError(
            f"this connection is one of SQLite {version}, which may damage a database that others "
            f"write to as well; it takes {wanted} or later: connect with apsw"
        )


def _on_postgres(db: Any, job: NewJob, row: str) -> str:
    from .postgres.nul import hidden  # psycopg is there, then

    if db.autocommit and not db.info.transaction_status:
        raise ValueError(NOT_BEGUN)
    [[id_]] = db.execute(_store_one(), (hidden(row),))
    return job.id if id_ == job.id else _standing_in(job, id_)


@cache
def _store_one() -> bytes:
    from .postgres.statements import Statements  # reads and hashes all of its SQL

    return Statements().sql("store_one")


def _holder(db: Connection, job: NewJob, row: str) -> str:
    [[holder]] = _run(db, "holder", row)
    return _standing_in(job, str(holder))


def _standing_in(job: NewJob, holder: str) -> str:
    """The one that holds the unique key, if that will do."""
    if job.on_conflict == "replace":
        raise InvalidInput("replace needs a transaction of the queue's own", "/on_conflict")
    if job.on_conflict == "reject":
        raise Conflict(f"The job {holder} holds the unique_key {job.unique_key!r}.")
    return holder


def _run(db: Connection, query: str, *args: Any) -> list[tuple[Any, ...]]:
    return list(db.execute(_SQL[query], args))
