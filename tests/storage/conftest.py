"""The backends that the contract suite runs against: one more is one more parameter.

A backend makes stores on one and the same database, and looks at that database behind their backs.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import apsw
import pytest
import trio

from trio_jobs.job import State
from trio_jobs.storage.base import Store
from trio_jobs.storage.queries import load
from trio_jobs.storage.records import Counts
from trio_jobs.storage.sqlite import SqliteStore

from ..conftest import in_place


class Backend(Protocol):
    """One database, however many stores open it."""

    def open(self, **options: Any) -> Any:
        """A context with a store that serves."""

    def recount(self) -> Counts:
        """What `counts` must say, counted from the jobs."""

    def rows(self, what: str) -> list[tuple[Any, ...]]:
        """`what` (columns) of all jobs, by age."""

    def ask(self, sql: str) -> Any:
        """The one value that a statement answers with, if it does."""


class SqliteBackend:
    """A file in a directory of its own."""

    body = "body"
    tables = ("jobs", "payloads", "results", "attempts", "logs", "saves", "callbacks")
    knows_the_dead = True  # by their lock files, before their leases run out

    def __init__(self, directory: Path) -> None:
        self.path = directory / "jobs.db"
        self._auditor: apsw.Connection | None = None

    @asynccontextmanager
    async def open(self, **options: Any) -> AsyncIterator[SqliteStore]:
        store = SqliteStore(self.path, **{"run_sync": in_place, **options})
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            yield store
            store.close()
            self.leave()

    def audit(self) -> apsw.Connection:
        """A connection beside the store."""
        if self._auditor is None:
            self._auditor = apsw.Connection(str(self.path))
        return self._auditor

    def leave(self) -> None:
        """Lets the store's connection be the last one."""
        if self._auditor is not None:
            self._auditor.close()
            self._auditor = None

    def recount(self) -> Counts:
        counts: Counts = {}
        for queue, state, n in json.loads(self.audit().execute(load("sqlite.sql")["recount"]).get):
            counts.setdefault(queue, {})[State(state)] = n
        return counts

    def rows(self, what: str) -> list[tuple[Any, ...]]:
        return list(self.audit().execute(f"select {what} from jobs order by seq"))

    def ask(self, sql: str) -> Any:
        return self.audit().execute(sql).get


class PostgresBackend:
    """A database that is emptied for each test: to make one anew takes 50 ms."""

    body = "text"
    tables = ("jobs", "payloads", "attempts", "logs", "saves", "callbacks")
    knows_the_dead = False

    def __init__(self, url: str) -> None:
        import psycopg

        self.url = url
        self._auditor = psycopg.connect(url, autocommit=True)
        self.clear()

    def clear(self) -> None:
        if self._auditor.execute("select to_regclass('jobs')").fetchone() != (None,):
            for table in EMPTIED:
                self._auditor.execute(f"delete from {table}")
            self._auditor.execute("alter sequence job_numbers restart")
            self._auditor.execute("update changes_floor set id = first")

    @asynccontextmanager
    async def open(self, **options: Any) -> AsyncIterator[Any]:
        from trio_jobs.storage.postgres import PostgresStore

        store = PostgresStore(self.url, **{"run_sync": in_place, "listen": False, **options})
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            yield store
            store.close()

    def leave(self) -> None:
        self._auditor.close()

    def recount(self) -> Counts:
        counts: Counts = {}
        for queue, state, n in json.loads(self.ask(load("postgres.sql")["recount"])):
            counts.setdefault(queue, {})[State(state)] = n
        return counts

    def rows(self, what: str) -> list[tuple[Any, ...]]:
        return self._auditor.execute(f"select {what} from jobs order by seq").fetchall()

    def all(self, sql: str) -> list[tuple[Any, ...]]:
        return self._auditor.execute(sql).fetchall()

    def ask(self, sql: str) -> Any:
        found = self._auditor.execute(sql)
        return found.fetchone()[0] if found.description else None


EMPTIED = (
    *("jobs", "payloads", "attempts", "counts", "logs", "idempotency_keys", "queues"),
    *("changes", "tokens", "saves", "remote_workers", "remote_types", "callbacks"),
)

WRITES = {
    *(
        "enqueue",
        "cancel",
        "retry",
        "amend",
        "remove",
        "pause",
        "resume",
        "limit",
        "claim",
        "extend",
    ),
    *("report", "settle", "promote", "expire", "rescue", "prune"),
}
"""The verbs that write."""


class Audited:
    """A store whose counters are compared with a recount after every verb that writes.

    Of several at the same time, the last one to end looks.
    """

    def __init__(self, store: Store, backend: Backend) -> None:
        self._store = store
        self._backend = backend
        self._under_way = 0
        self._steps = 0  # beginnings and ends

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if name not in WRITES:
            return verb

        async def audited(*args: Any, **options: Any) -> Any:
            self._under_way += 1
            self._steps += 1
            try:
                return await verb(*args, **options)
            finally:
                self._under_way -= 1
                self._steps += 1
                await self._audit()

        return audited

    async def _audit(self) -> None:
        steps = self._steps
        counts = await self._store.counts()
        if not self._under_way and steps == self._steps:
            assert counts == self._backend.recount()


FAST_ON_POSTGRES = ("test_callbacks", "test_contract", "test_saves")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On PostgreSQL, the fast suite is for the contract; the rest takes its time there."""
    for item in items:
        if "[postgres" in item.name and item.path.stem not in FAST_ON_POSTGRES:
            item.add_marker("slow")


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """An empty database."""
    backend: SqliteBackend | PostgresBackend
    if request.param == "sqlite":
        backend = SqliteBackend(tmp_path)
    else:
        backend = PostgresBackend(request.getfixturevalue("postgres").url())
    yield backend
    backend.leave()


on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
"""For tests of what is so on SQLite only."""


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Any]:
    """An open store, its counters under audit."""
    async with backend.open() as store:
        yield Audited(store, backend)
