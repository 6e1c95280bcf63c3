"""Enqueueing within a transaction of somebody else's, on the same SQLite file.

The job is there when that transaction commits, together with whatever else it changes; rolled back,
it never was. Workers hear of it at their next look (`poll_interval`): nobody rings for them.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ..errors import Conflict, InvalidInput, StoreError
from .queries import load
from .records import NewJob
from .write import as_json

OLDEST = (3, 51, 3)
"""SQLite before it may corrupt a database in WAL mode that two connections write to: the WAL-reset
bug of 3.7.0 to 3.51.2 (sqlite.org/wal.html)."""

_SQL = load("sqlite.sql")


class Connection(Protocol):
    """What `sqlite3.Connection` and `apsw.Connection` have in common."""

    @property
    def in_transaction(self) -> bool: ...
    def execute(self, sql: str, args: Sequence[Any], /) -> Iterable[tuple[Any, ...]]: ...


def enqueue_in(db: Connection, job: NewJob) -> str:
    """Stores `job`; the id of what stands for it (another job that holds its unique key, perhaps).

    Raises ValueError outside of a transaction, StoreError for a SQLite that is too old, Conflict
    and InvalidInput for a unique key that is taken, and what `db` raises. It blocks.
    """
    _check(db)
    row = as_json(job)
    if job.unique_key is not None:
        _run(db, "lapse", row)
    new = _run(db, "insert_job", row)
    if not new:
        return _holder(db, job, row)
    [[seq]] = new
    _run(db, "insert_payload", row, seq)
    _run(db, "count_job", row)
    _run(db, "tell_of_job", row, seq)
    return job.id


def _check(db: Connection) -> None:
    if not db.in_transaction:
        raise ValueError("the connection is in no transaction: begin one, and commit it afterwards")
    [[version]] = db.execute("select sqlite_version()", ())
    if tuple(map(int, version.split("."))) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise StoreError(
            f"this connection is one of SQLite {version}, which may damage a database that others "
            f"write to as well; it takes {wanted} or later: connect with apsw"
        )


def _holder(db: Connection, job: NewJob, row: str) -> str:
    if job.on_conflict == "replace":
        raise InvalidInput("replace needs a transaction of the queue's own", "/on_conflict")
    [[holder]] = _run(db, "holder", row)
    if job.on_conflict == "reject":
        raise Conflict(f"The job {holder} holds the unique_key {job.unique_key!r}.")
    return str(holder)


def _run(db: Connection, query: str, *args: Any) -> list[tuple[Any, ...]]:
    return list(db.execute(_SQL[query], args))
