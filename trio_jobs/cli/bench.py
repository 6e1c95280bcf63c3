"""`trio-jobs bench`."""

import os
import platform
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import click
import trio

from .. import __version__
from ..config import Settings
from ..errors import TrioJobsError
from ..registry import Handler, Registry
from ..runtime import reasons
from ..service import Order, Service
from ..storage import sqlite_path
from ..storage.sqlite import SqliteStore
from ..worker import Worker
from .exits import fail
from .output import is_terminal, output_option, print_rows
from .progress import ProgressBar
from .settings import load, setting_options

ORDER = Order(type="bench", payload=b'{"n":1}')
TASKS = 64
BATCH = 1_000
ONE_BY_ONE = 10  # of so many jobs, one is enqueued by itself: that waits for an fsync each time

Told = Callable[[int], None]


class Measured(NamedTuple):
    what: str
    jobs: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.jobs / self.seconds


@click.command()
@click.option(
    "--jobs",
    type=click.IntRange(100, 100_000),
    default=5_000,
    show_default=True,
    help="Jobs in each measurement.",
)
@output_option
@setting_options(["database", "durability", "concurrency"])
def bench(jobs: int, output: str | None, **flags: Any) -> None:
    """Measure how many jobs a second this machine takes in and runs, without HTTP.

    In a database of its own, which is gone afterwards, beside yours: the disk decides most of it.
    """
    settings, _ = load(flags)
    click.echo(
        f"trio_jobs {__version__}, Python {platform.python_version()}, trio {trio.__version__}, "
        f"SQLite {apsw.sqlite_lib_version()}, {os.cpu_count()} cores, {platform.machine()}, "
        f"durability {settings.durability}, {settings.concurrency} jobs at a time",
        err=True,
    )
    try:
        directory = sqlite_path(settings.database).parent
        with tempfile.TemporaryDirectory(prefix="trio-jobs-bench-", dir=directory) as place:
            found = trio.run(_all, replace(settings, queues=()), Path(place), jobs)
    except (TrioJobsError, OSError) as error:
        fail(str(error))
    except BaseExceptionGroup as group:
        if not (causes := reasons(group)):
            raise
        fail(str(causes[0]))
    rows = [{"what": one.what, "jobs": one.jobs, "per_second": round(one.rate)} for one in found]
    shown = output or ("table" if is_terminal() else "jsonl")
    print_rows(rows, shown, ("what", "jobs", "per_second"), "what")


async def _all(settings: Settings, directory: Path, jobs: int) -> list[Measured]:
    few = jobs // ONE_BY_ONE
    found = []
    async with _store(settings, directory / "enqueue.db") as store:
        service = Service(store, Registry([_handler(lambda: None)]), settings)

        async def some(count: int, size: int, told: Told) -> None:
            for n in range(0, count, size):
                await service.enqueue([ORDER] * min(size, count - n))
                told(min(size, count - n))

        async def from_tasks(told: Told) -> None:
            async with trio.open_nursery() as nursery:
                for n in range(TASKS):
                    nursery.start_soon(some, len(range(n, jobs, TASKS)), 1, told)

        found.append(await _timed("enqueue one by one", few, lambda told: some(few, 1, told)))
        found.append(await _timed(f"enqueue from {TASKS} tasks", jobs, from_tasks))
        batches = f"enqueue arrays of {BATCH:,}"
        found.append(await _timed(batches, jobs, lambda told: some(jobs, BATCH, told)))
    async with _store(settings, directory / "drain.db") as store:
        await _fill(settings, store, jobs)
        ran = await _timed("run", jobs, lambda told: _drain(settings, store, jobs, told))
        found.append(ran)
    return found


async def _fill(settings: Settings, store: SqliteStore, jobs: int) -> None:
    service = Service(store, Registry([_handler(lambda: None)]), settings)
    for n in range(0, jobs, BATCH):
        await service.enqueue([ORDER] * min(BATCH, jobs - n))


async def _drain(settings: Settings, store: SqliteStore, jobs: int, told: Told) -> None:
    """Returns when the last of the jobs has been settled."""
    all_ran = trio.Event()
    ran = 0

    def run_one() -> None:
        nonlocal ran
        ran += 1
        told(1)
        if ran == jobs:
            all_ran.set()

    worker = Worker(store, Registry([_handler(run_one)]), settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(worker.run)
        await all_ran.wait()
        worker.quiet()


def _handler(ran: Callable[[], None]) -> Handler:
    async def run(_input: object, _ctx: object) -> None:
        ran()

    return Handler("bench", run, input=object)


async def _timed(what: str, jobs: int, work: Callable[[Told], Awaitable[None]]) -> Measured:
    bar, done = ProgressBar(what), 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        bar({"done": done, "matched": jobs, "scanned": done / jobs})

    start = time.perf_counter()
    await work(told)
    seconds = time.perf_counter() - start
    bar.close()
    return Measured(what, jobs, seconds)


@asynccontextmanager
async def _store(settings: Settings, path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, durable=settings.durability == "full")
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        yield store
        store.close()
