"""How a connection to SQLite is opened, and what its errors mean.

SQLite's own errors are translated here and nowhere else: a full disk and a busy file pass
(Unavailable), an I/O error or a broken file do not (StoreBroken: whoever acknowledges after a
failed fsync lies, so the process stops).
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw

from ..errors import StoreBroken, StoreError, Unavailable
from .migrations import migrations, mismatch
from .queries import load, script
from .write import AnswerTooLarge

BUSY_TIMEOUT = 5.0
MAX_IDLE_WAL = 16_777_216
"""Bytes to which the WAL is cut once all of it is in the database: while somebody reads for long it
grows, and SQLite would leave it at that size. Without such readers it has 4 MB."""
QUICK_CHECK_SECONDS = 1.0


def open_writer(path: Path, *, durable: bool, check: bool = True) -> apsw.Connection:
    """The one connection that writes in groups and runs checkpoints; `path` is made if missing.
    `check` looks for damage first.

    Raises StoreError when this is not a database of ours or cannot be made durable.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with translated():
        db = _connect(path)
        _check_owner(db, path)
        if db.pragma("page_count") == 0:
            db.pragma("auto_vacuum", "incremental")  # only possible before the first table
        if _switch_to_wal(db) != "wal":
            raise StoreError(f"{path}: this file system cannot hold a WAL database")
        db.pragma("synchronous", "full" if durable else "normal")
        if durable and db.pragma("synchronous") != 2:
            raise StoreError(f"{path}: SQLite refused synchronous=FULL")
        db.pragma("cache_size", -65_536)
        db.pragma("temp_store", "memory")
        if check:
            _quick_check(db, path)
        migrate(db)
        db.execute(load("sqlite.sql")["create_job_heads"])
        db.execute(script("sqlite_procedures.sql"))
        return db


def open_reader(path: Path) -> apsw.Connection:
    """A connection that cannot write."""
    with translated():
        db = _connect(path)
        db.execute(load("sqlite.sql")["create_job_heads"])
        db.execute(load("sqlite.sql")["create_job_documents"])
        db.pragma("query_only", True)
        return db


def open_pulse(path: Path) -> apsw.Connection:
    """The heartbeat's: it writes little, and leaves checkpoints to the writer."""
    with translated():
        db = _connect(path)
        db.pragma("synchronous", "normal")  # a beat that a power cut undoes is not missed
        db.wal_autocheckpoint(0)
        return db


def migrate(db: apsw.Connection) -> list[str]:
    """Brings the schema up to date; the names of what was applied, oldest first.

    Raises SchemaMismatch when a newer program has made a breaking change.
    """
    sql = load("sqlite.sql")
    db.execute(sql["schema_create"])
    known = migrations("sqlite")
    newer = db.execute(sql["schema_newer"], (len(known),)).get
    if newer is not None:
        raise mismatch(newer, len(known))
    applied = []
    for migration in known[schema_version(db) :]:
        db.execute("begin immediate")
        try:
            row = (migration.version, migration.name, migration.breaking)
            db.execute(sql["schema_add"], row)
            if db.changes():  # else another process was faster
                db.execute(migration.sql)
                applied.append(migration.label)
            db.execute("commit")
        except BaseException:
            db.execute("rollback")
            raise
    return applied


def schema_version(db: apsw.Connection) -> int:
    """The newest migration that this database has; 0 for an empty one."""
    return int(db.execute(load("sqlite.sql")["schema_version"]).get)


@contextmanager
def translated() -> Iterator[None]:
    """Turns SQLite's errors into ours."""
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as error:
        raise Unavailable(f"the database is busy: {error}") from error
    except apsw.TooBigError as error:
        raise AnswerTooLarge(str(error)) from error
    except apsw.FullError as error:
        raise Unavailable(f"the disk is full: {error}", retry_after=5.0) from error
    except (apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.ReadOnlyError) as error:
        raise StoreBroken(f"the database cannot be used any more: {error}") from error
    except apsw.CantOpenError as error:
        raise StoreError(f"the database cannot be opened: {error}") from error


def _connect(path: Path) -> apsw.Connection:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    db.set_busy_timeout(int(BUSY_TIMEOUT * 1000))
    db.pragma("journal_size_limit", MAX_IDLE_WAL)  # whoever begins the WAL anew cuts it
    return db


def _switch_to_wal(db: apsw.Connection) -> str:
    """The journal mode then. SQLite's busy timeout does not cover this: another process that starts
    at the same moment would make us fail."""
    stop = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            return str(db.pragma("journal_mode", "wal"))
        except apsw.BusyError:
            if time.monotonic() > stop:
                raise
            time.sleep(0.01)


def _check_owner(db: apsw.Connection, path: Path) -> None:
    if db.execute(load("sqlite.sql")["schema_foreign"]).get:
        raise StoreError(f"{path} is a database of another program; choose another file")


def _quick_check(db: apsw.Connection, path: Path) -> None:
    """Looks for damage for at most a second: a large healthy file must not delay the start."""
    stop = time.monotonic() + QUICK_CHECK_SECONDS
    db.set_progress_handler(lambda: time.monotonic() > stop, 10_000)
    try:
        found = db.execute("pragma quick_check(1)").get
    except apsw.InterruptError:
        return
    finally:
        db.set_progress_handler(None)
    if found != "ok":
        raise StoreBroken(f"{path} is damaged: {found}. Restore a backup.")
