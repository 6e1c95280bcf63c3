"""Copies of a database file: made while a service writes to it, looked at, and put back.

SQLite's own backup does the copying, a step at a time. The source stands in a read transaction
meanwhile, so that what the service commits does not make the copy start all over again.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw

from ..disk import make_directory, sync_directory
from ..errors import StoreBroken, StoreError
from .connection import BUSY_TIMEOUT, schema_version, translated
from .migrations import migrations, mismatch
from .presence import Presence
from .queries import load

PAGES = 500  # in a step: 2 MB

Told = Callable[[int, int], None]
"""Gets the pages that are copied, and how many there are."""


def backup(database: Path, target: Path, told: Told) -> None:
    """Makes `target` a copy of `database` as it is now; whatever was there is replaced at the end.

    A service may be at work. A damaged copy replaces nothing. Raises StoreError, Unavailable,
    StoreBroken, OSError.
    """
    if not database.is_file():
        raise StoreError(f"there is no database {database}")
    for suffix in ("-wal", "-journal"):
        if _beside(target, suffix).exists():  # it would be taken for that of the copy
            raise StoreError(f"{target} is in use, or was left by a crash: choose another file")
    partial = target.with_name(target.name + ".partial")
    try:
        with _opened(database) as source:
            _copy(source, partial, told)
        examine(partial)
        partial.replace(target)
        sync_directory(target.parent)
    finally:
        partial.unlink(missing_ok=True)


def examine(path: Path) -> None:
    """Raises StoreError unless this is a copy that can be put back; all of it is read.

    SchemaMismatch: it is from a newer trio_jobs.
    """
    if not path.is_file():
        raise StoreError(f"there is no file {path}")
    with _examined(path, still=True) as db:
        _check_ours(db, path)
        if (found := db.pragma("integrity_check", 1)) != "ok":
            raise StoreError(f"{path} is damaged: {found}")


def schema_of(database: Path) -> int:
    """The newest migration that a database has, whether a service has it or not.

    Nothing is changed. Raises what `examine` raises, for less of the file.
    """
    with _examined(database) as db:
        _check_ours(db, database)
        return schema_version(db)


@contextmanager
def _examined(path: Path, *, still: bool = False) -> Iterator[apsw.Connection]:
    try:
        with _opened(path, still=still) as db:
            yield db
    except StoreBroken as error:
        raise StoreError(f"{path} is damaged, or no database: {error}") from error


def _check_ours(db: apsw.Connection, path: Path) -> None:
    sql = load("sqlite.sql")
    if db.execute(sql["schema_foreign"]).get or not db.pragma("page_count"):
        raise StoreError(f"{path} is no database of trio_jobs")
    newer = db.execute(sql["schema_newer"], (len(migrations("sqlite")),)).get
    if newer is not None:
        raise mismatch(newer, len(migrations("sqlite")), str(path))


def restore(copy: Path, database: Path, told: Told) -> Path | None:
    """Puts a copy in the place of `database`; where the old one lies now, if there was one.

    Raises StoreLocked while a service has it, and what `examine` raises.
    """
    examine(copy)
    make_directory(database.parent)
    presence = Presence(database, shared=False)
    fresh = database.with_name(database.name + ".restoring")
    try:
        with _opened(copy, still=True) as source:
            _copy(source, fresh, told)
        kept = _kept(database)
        fresh.replace(database)
        sync_directory(database.parent)
        return kept
    finally:
        fresh.unlink(missing_ok=True)
        presence.leave()


def _kept(database: Path) -> Path | None:
    """A second name for the old database, which has all of it in one file then.

    Its WAL is written back first: under another name it would be lost, and beside the new one it
    would ruin that. So at each moment there is a whole database in its place.
    """
    if not database.exists():
        return None
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    kept = database.with_name(f"{database.name}.before-{stamp}")
    wal = _beside(database, "-wal")
    if wal.exists():
        with suppress(apsw.Error):
            db = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
            with closing(db):
                db.execute("pragma wal_checkpoint(truncate)").fetchall()
        if wal.exists() and wal.stat().st_size:  # it is too damaged for that: keep what there is
            wal.rename(_beside(kept, "-wal"))
        wal.unlink(missing_ok=True)
    _beside(database, "-shm").unlink(missing_ok=True)
    os.link(database, kept)
    return kept


def _copy(source: apsw.Connection, target: Path, told: Told) -> None:
    """`target` on stable storage when this returns; readable by nobody else."""
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with translated():
        db = apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            db.pragma("synchronous", "full")
            with db.backup("main", source, "main") as steps:
                while not steps.done:
                    steps.step(PAGES)
                    told(steps.page_count - steps.remaining, steps.page_count)
        finally:
            db.close()


@contextmanager
def _opened(path: Path, *, still: bool = False) -> Iterator[apsw.Connection]:
    """The database as it is at this moment. `still`: nobody writes to it, so that even one on a
    medium that cannot be written is read."""
    name, flags = str(path), apsw.SQLITE_OPEN_READWRITE
    if still and not _beside(path, "-wal").exists():
        name = path.resolve().as_uri() + "?immutable=1"
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    with translated():
        db = apsw.Connection(name, flags=flags)
        try:
            db.set_busy_timeout(int(BUSY_TIMEOUT * 1000))
            db.pragma("query_only", True)
            db.execute("begin")
            _read_something(db)
            yield db
        finally:
            db.close()


def _read_something(db: apsw.Connection) -> Any:
    """A read transaction begins with the first page that is read."""
    return db.pragma("schema_version")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
