"""One SQLite file in use: its lock, its connections, and what is done on them. All of it blocks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from ..disk import make_directory
from ..errors import StoreBroken, StoreError
from .backend import Query
from .connection import open_pulse, open_reader, open_writer, translated
from .presence import Presence
from .queries import load
from .records import Job, Lease
from .sqlite_session import SqliteSession, transact
from .wishes import Filter
from .write import Callback, Committed, Write, as_json
from .writes import extend

_SQL = load("sqlite.sql")


class SqliteFile:
    """A `visitor` takes no lock, makes no file, and may not work: it has no presence."""

    def __init__(
        self,
        path: Path,
        *,
        durable: bool,
        shared: bool,
        visitor: bool,
        callback: Callback | None,
    ) -> None:
        self._path = path
        self._callback = callback
        self._durable = durable
        self._shared = shared
        self._visitor = visitor
        self._presence: Presence | None = None

    @property
    def presence(self) -> Presence:
        if self._presence is None:
            raise RuntimeError("a visitor is no worker")
        return self._presence

    def open(self) -> None:
        """Raises StoreLocked, SchemaMismatch, StoreError."""
        if not self._visitor:
            self._enter()
        elif not self._path.is_file():
            raise StoreError(f"there is no database {self._path}")
        try:
            # A visitor may come every second (`trio-jobs top`); it need not read all of the file.
            check = not self._visitor
            self.writer = open_writer(self._path, durable=self._durable, check=check)
            found = self._path.stat()
            self._inode = found.st_dev, found.st_ino
            self._batch_reader = open_reader(self._path)
            self._reader = open_reader(self._path)
            self._searcher = open_reader(self._path)
        except BaseException:
            self._leave()
            raise

    def _enter(self) -> None:
        try:
            make_directory(self._path.parent)
            self._presence = Presence(self._path, shared=self._shared)
        except OSError as error:
            raise StoreError(f"the database cannot be opened: {error}") from error

    def close(self) -> None:
        self._searcher.close()
        self._reader.close()
        self._batch_reader.close()
        self.writer.close()  # the last connection checkpoints and removes the WAL
        self._leave()

    def _leave(self) -> None:
        if self._presence is not None:
            self._presence.leave()

    def read_values(self, queries: Sequence[Query]) -> list[Any]:
        return _values(self._reader, queries)

    def search(self, queries: Sequence[Query]) -> list[Any]:
        """`read_values` for queries that may look at every job."""
        return _values(self._searcher, queries)

    def read_jobs(self, requests: Sequence[Sequence[str]]) -> list[dict[str, Job]]:
        """For each list of ids, the jobs that exist."""
        ids = list({id_ for request in requests for id_ in request})
        with translated():
            text = self._batch_reader.execute(_SQL["get_jobs"], (as_json(ids),)).get
        jobs = {job.id: job for job in msgspec.json.decode(text, type=list[Job])}
        return [{id_: jobs[id_] for id_ in request if id_ in jobs} for request in requests]

    def transact(self, writes: Sequence[Write]) -> Committed:
        with translated():
            return transact(self.writer, writes, self._check, self._callback)

    def _check(self) -> None:
        """Before each commit: SQLite writes on happily to a file that nobody will find again."""
        try:
            found = self._path.stat()
        except OSError as error:
            raise StoreBroken(f"{self._path} is gone: {error}") from error
        if (found.st_dev, found.st_ino) != self._inode:
            raise StoreBroken(f"{self._path} has been replaced by another file")

    @property
    def identity(self) -> str:
        return self.presence.identity

    def living(self) -> set[str]:
        return self.presence.living()

    def matching(self, filter: Filter) -> str:
        return matching(filter)

    def pulse(self) -> "SqlitePulse":
        return SqlitePulse(open_pulse(self._path))


def _values(db: apsw.Connection, queries: Sequence[Query]) -> list[Any]:
    with translated():
        return [db.execute(_SQL[query], args).get for query, args in queries]


class SqlitePulse:
    """The heartbeat's own connection; see `storage.base.Pulse`."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def extend(self, leases: Sequence[Lease], expires_at: float) -> set[str]:
        with translated():
            self._db.execute("begin immediate")
            try:
                held = extend(SqliteSession(self._db), leases, expires_at)
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise
        return held

    def close(self) -> None:
        self._db.close()


def matching(filter: Filter) -> str:
    """`filter` as `matches` reads it. Names that no JSON path can say match nothing."""
    if any(set('"\\\0') & set(path) for path in filter.input or {}):
        return as_json(Filter(states=[]))
    paths = {
        "$" + "".join(f'."{step}"' for step in path.split(".")): value
        for path, value in (filter.input or {}).items()
    }
    states = None if filter.states is None else list(dict.fromkeys(filter.states))
    return as_json(msgspec.structs.replace(filter, input=paths or None, states=states))
