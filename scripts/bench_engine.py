#!/usr/bin/env python3
"""How fast the engine is without HTTP: enqueue, drain and idle latency, on a real file with fsync.

    scripts/bench_engine.py [--jobs 20000] [--concurrency 32,100,256] [--database URL]

With the URL of a PostgreSQL database all is measured there. Its tables are emptied, so it must have
`bench` in its name.

Each figure stands beside what it depends on: machine, versions, durability, number of jobs. For
comparison it also measures the plainest durable thing there is: one row, one fsync, one by one.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import trio

from trio_jobs import __version__
from trio_jobs.builtin import handlers
from trio_jobs.config import Settings
from trio_jobs.job import State
from trio_jobs.registry import Handler, Registry
from trio_jobs.service import Callbacks, Order, Service
from trio_jobs.storage import open_store
from trio_jobs.worker import Worker

NOOP = Order(type="noop", payload=b'{"n":1}')
CALLING = Order(type="noop", payload=b'{"n":1}', callback_url="http://bench.invalid/")


class Bench:
    """A fresh store in a directory of its own, and what runs on it."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        self.settings = settings
        durable = settings.durability == "full"
        if settings.database.startswith("postgres"):
            empty(settings.database)
            url = settings.database
        else:
            url = f"sqlite:///{directory / 'bench.db'}"
        callback = Callbacks(settings)
        self.store = open_store(url, durable=durable, shared=False, callback=callback)
        self.started = trio.Event()
        self.started_at = 0.0
        stamp = Handler("stamp", self._stamp, input=object)
        unsent = Handler("webhook", _send_nothing, input=object)
        others = (handler for handler in handlers(settings) if handler.type != "webhook")
        self.registry = Registry([*others, stamp, unsent])
        self.service = Service(self.store, self.registry, settings)

    async def _stamp(self, _input: object, _ctx: object) -> None:
        self.started_at = time.perf_counter()
        self.started.set()

    async def unfinished(self) -> int:
        counts = await self.store.counts()
        return sum(
            n for queue in counts.values() for state, n in queue.items() if state != State.DONE
        )


async def _send_nothing(_input: object, _ctx: object) -> None:
    """Stands for `webhook`: what a callback costs us, not its receiver."""


def empty(url: str) -> None:
    """Takes all rows out of a database for benchmarks."""
    import psycopg

    if "bench" not in url.rpartition("/")[2]:
        sys.exit(f"{url}: the name of this database must have `bench` in it: it will be emptied")
    with psycopg.connect(url, autocommit=True) as db:
        tables = "jobs", "payloads", "attempts", "counts", "logs", "changes", "callbacks"
        for table in tables:
            if db.execute("select to_regclass(%s)", (table,)).fetchone() != (None,):
                db.execute(f"truncate {table}")
                db.execute(f"vacuum analyze {table}")


@asynccontextmanager
async def opened(settings: Settings):
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), settings)
        async with trio.open_nursery() as nursery:
            await nursery.start(bench.store.run)
            yield bench
            bench.store.close()


@asynccontextmanager
async def working(bench: Bench):
    worker = Worker(bench.store, bench.registry, bench.settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(worker.run)
        yield worker
        worker.quiet()


async def enqueue_one_by_one(settings: Settings, jobs: int) -> float:
    async with opened(settings) as bench:
        return await _rate(jobs, lambda: _times(jobs, lambda: bench.service.enqueue([NOOP])))


async def enqueue_from_tasks(settings: Settings, jobs: int, tasks: int = 64) -> float:
    async def all_tasks() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(_times, jobs // tasks, lambda: bench.service.enqueue([NOOP]))

    async with opened(settings) as bench:
        return await _rate(jobs // tasks * tasks, all_tasks)


async def enqueue_bulk(settings: Settings, jobs: int, size: int = 1_000) -> float:
    size = min(size, jobs)
    batch = [NOOP] * size
    async with opened(settings) as bench:
        rounds = jobs // size
        return await _rate(
            rounds * size, lambda: _times(rounds, lambda: bench.service.enqueue(batch))
        )


async def drain(settings: Settings, jobs: int, order: Order = NOOP) -> float:
    async with opened(settings) as bench:
        await _fill(bench, jobs, order)
        start = time.perf_counter()
        async with working(bench):
            while await bench.unfinished():  # noqa: ASYNC110 - the engine is not to be disturbed
                await trio.sleep(0.01)
            return jobs / (time.perf_counter() - start)


async def idle_latency(settings: Settings, jobs: int) -> tuple[float, float]:
    """Milliseconds from the call of enqueue to the handler's first line: median and p99."""
    waits = []
    async with opened(settings) as bench, working(bench):
        for _ in range(jobs):
            bench.started = trio.Event()
            submitted = time.perf_counter()
            await bench.service.enqueue([Order(type="stamp")])
            await bench.started.wait()
            waits.append((bench.started_at - submitted) * 1e3)
            await trio.sleep(0.003)
    return statistics.median(waits), statistics.quantiles(waits, n=100)[98]


def plain_inserts(jobs: int) -> float:
    """One row, one commit, one fsync, in one thread: what a table written by hand can do."""
    with tempfile.TemporaryDirectory() as directory:
        db = apsw.Connection(str(Path(directory) / "plain.db"))
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "full")
        db.execute("create table jobs (id integer primary key, payload text)")
        start = time.perf_counter()
        for _ in range(jobs):
            db.execute("insert into jobs (payload) values (?)", ('{"n":1}',))
        rate = jobs / (time.perf_counter() - start)
        db.close()
        return rate


async def _fill(bench: Bench, jobs: int, order: Order) -> None:
    for first in range(0, jobs, 1_000):
        await bench.service.enqueue([order] * min(1_000, jobs - first))


async def _times(count: int, call: Callable[[], Awaitable[object]]) -> None:
    for _ in range(count):
        await call()


async def _rate(jobs: int, work: Callable[[], Awaitable[None]]) -> float:
    start = time.perf_counter()
    await work()
    return jobs / (time.perf_counter() - start)


def database(url: str) -> str:
    """What it is, and which version."""
    if not url.startswith("postgres"):
        return f"SQLite {apsw.sqlite_lib_version()}"
    import psycopg

    with psycopg.connect(url) as db:
        fsync = db.execute("show fsync").fetchone()
        return f"PostgreSQL {db.info.parameter_status('server_version')} (fsync={fsync[0]})"


async def main(jobs: int, concurrency: list[int], url: str) -> None:
    settings = Settings(database=url)
    print(
        f"trio_jobs {__version__}, Python {platform.python_version()}, trio {trio.__version__}, "
        f"{database(url)}, {os.cpu_count()} cores, {platform.machine()}; "
        f"durability={settings.durability}, {jobs:,} jobs"
    )
    few = max(100, jobs // 10)
    print(f"  plain inserts, one by one      {plain_inserts(few):>10,.0f} /s  (for comparison)")
    print(f"  enqueue one by one             {await enqueue_one_by_one(settings, few):>10,.0f} /s")
    print(f"  enqueue from 64 tasks          {await enqueue_from_tasks(settings, jobs):>10,.0f} /s")
    print(f"  enqueue in batches of 1,000    {await enqueue_bulk(settings, jobs * 2):>10,.0f} /s")
    for slots in concurrency:
        rate = await drain(Settings(concurrency=slots, database=url), jobs)
        print(f"  drain, {slots:>4} at a time         {rate:>10,.0f} /s")
    called = Settings(concurrency=concurrency[-1], database=url)
    rate = await drain(called, jobs, CALLING)
    print(f"  … and each calls back          {rate:>10,.0f} /s  (with its webhook job, unsent)")
    median, p99 = await idle_latency(settings, max(50, jobs // 100))
    print(f"  idle: enqueue to start         {median:>10.2f} ms, p99 {p99:.2f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--concurrency", default="32,100,256")
    parser.add_argument("--database", default="sqlite:///bench.db", metavar="URL")
    arguments = parser.parse_args()
    slots = [int(n) for n in arguments.concurrency.split(",")]
    try:
        trio.run(main, arguments.jobs, slots, arguments.database)
    except KeyboardInterrupt:
        sys.exit(130)
