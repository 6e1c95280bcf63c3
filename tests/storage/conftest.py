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


class SqliteBackend:
    """A file in a directory of its own."""

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


@pytest.fixture(params=["sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """An empty database."""
    assert request.param == "sqlite"
    backend = SqliteBackend(tmp_path)
    yield backend
    backend.leave()


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Any]:
    """An open store, its counters under audit."""
    async with backend.open() as store:
        yield Audited(store, backend)
