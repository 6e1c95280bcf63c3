"""What all tests share: the real store on a real file, in virtual time.

Trio's autojump clock counts a task that waits on a thread as idle and jumps past its deadline. So
the store under test runs its SQL in place (`in_place`), and everything tells the time by `now`.
A test that takes `autojump_clock` then lives through hours in milliseconds.

Property tests repeat the same cases on every run; HYPOTHESIS_PROFILE=explore looks for new ones.
"""

import os
import subprocess
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import msgspec
import pytest
import trio

from trio_jobs.config import Settings
from trio_jobs.job import State
from trio_jobs.maintenance import Maintenance
from trio_jobs.metrics import Metrics
from trio_jobs.registry import Handler, Registry
from trio_jobs.service import Callbacks, Order, Service
from trio_jobs.storage.records import Job
from trio_jobs.storage.sqlite import SqliteStore
from trio_jobs.worker import Worker

from .postgres import Server, started

hypothesis.settings.register_profile("stable", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "stable"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What tests write and log is now and then no UTF-8, and reports travel between processes."""
    report = yield
    report.sections = [
        (name, text.encode(errors="replace").decode()) for name, text in report.sections
    ]
    return report


EPOCH = 1_764_000_000.0
"""What the wall clock shows when the virtual clock shows 0."""

T = TypeVar("T")


def now() -> float:
    """The wall clock of a test, driven by trio's."""
    return EPOCH + trio.current_time()


async def in_place(call: Callable[..., T], *args: Any) -> T:
    """`run_sync` without a thread."""
    await trio.lowlevel.checkpoint()
    return call(*args)


@dataclass
class System:
    """Service, worker and upkeep over one store, running."""

    store: SqliteStore
    service: Service
    worker: Worker
    metrics: Metrics = field(default_factory=Metrics)

    async def enqueue(self, type_: str, payload: object = None, **options: Any) -> str:
        """The id of a new job."""
        body = msgspec.json.encode({} if payload is None else payload)
        [placed] = await self.service.enqueue([Order(type=type_, payload=body, **options)])
        return placed.job.id

    async def until(self, id_: str, *states: State, attempt: int | None = None) -> Job:
        """The job once it is in one of `states` (default: a final one)."""
        wanted = states or [state for state in State if state.final]
        while True:
            job = await self.service.get(id_)
            if job.state in wanted and attempt in (None, job.attempt):
                return job
            await trio.sleep(0.01)


StartSystem = Callable[..., Awaitable[System]]


@pytest.fixture
def start_system(tmp_path: Path, nursery: trio.Nursery) -> StartSystem:
    """`await start_system(handlers, **settings)`; for tests with `autojump_clock`.

    `run_sync` and `file` replace how and where the store works.
    """

    async def start(
        handlers: Iterable[Handler],
        *,
        file: str = "jobs.db",
        run_sync: Callable[..., Awaitable[Any]] = in_place,
        **changes: Any,
    ) -> System:
        settings, registry = Settings(**changes), Registry(handlers)
        metrics = Metrics(registry.types)
        store = SqliteStore(
            tmp_path / file, callback=Callbacks(settings), run_sync=run_sync, metrics=metrics
        )
        await nursery.start(store.run)
        await nursery.start(Maintenance(store, settings, now=now, metrics=metrics).run)
        worker = Worker(store, registry, settings, now=now, heartbeat=False, metrics=metrics)
        await nursery.start(worker.run)
        service = Service(store, registry, settings, now=now, hands=worker.hands, metrics=metrics)
        await nursery.start(service.watch.run)
        await nursery.start(service.working.run)
        return System(store, service, worker, metrics)

    return start


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL for all tests that do it no harm."""
    with started() as server:
        yield server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key for localhost and hooks.test, signed by itself."""
    directory = tmp_path_factory.mktemp("tls")
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=trio-jobs-test"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=DNS:localhost,DNS:hooks.test,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key
