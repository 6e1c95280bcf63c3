#!/usr/bin/env python3
"""How the store behaves when it is full: many finished jobs, many that wait.

    scripts/bench_scale.py [--finished 1000000] [--waiting 100000] [--directory DIR]

Beside each other, in one run on a real file with fsync: the drain rate of the full database and of
an empty one. Then claims, pages of lists, the start, and how long other commits take while the
finished jobs are pruned and while the waiting ones are cancelled by a filter.
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import trio

from trio_jobs import __version__
from trio_jobs.builtin import handlers
from trio_jobs.cli.daemon import tune_process
from trio_jobs.config import Settings
from trio_jobs.ids import JobIds
from trio_jobs.job import State, Succeeded, Verdict
from trio_jobs.registry import Registry
from trio_jobs.storage.records import NewJob, Settlement
from trio_jobs.storage.sqlite import SqliteStore
from trio_jobs.storage.wishes import Filter
from trio_jobs.worker import Worker

DONE = Verdict.done(Succeeded(b'{"n":1}'))
IDS = JobIds()
SLICE = 500
PRUNED = 250


def new_job(queue: str = "default", type_: str = "noop") -> NewJob:
    now = time.time()
    return NewJob(
        id=IDS.new(), type=type_, queue=queue, priority=0, state=State.QUEUED, max_attempts=5,
        timeout=None, tags=None, created_at=now, run_at=now, payload_text='{"n":1}',
        payload_hex=None, content_type="application/json",
    )  # fmt: skip


@asynccontextmanager
async def opened(path: Path, *, durable: bool = True):
    store = SqliteStore(path, durable=durable)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        yield store
        store.close()


async def fill(path: Path, finished: int, waiting: int) -> None:
    """The jobs that wait are the oldest: what is listed and claimed lies beyond the others."""
    async with opened(path, durable=False) as store:
        for queue, count in (("backlog", waiting), ("default", finished)):
            for start in range(0, count, 1_000):
                await store.enqueue([new_job(queue) for _ in range(min(1_000, count - start))])
                if queue == "default":
                    now = time.time()
                    jobs = await store.claim(
                        "bench", ["noop"], 1_000, now, now + 60, queues={queue: 1_000}
                    )
                    await store.settle([Settlement.of(job.lease, DONE) for job in jobs], now)


async def seconds(call: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await call()
    return time.perf_counter() - start


async def timed(times: int, call: Callable[[], Awaitable[object]]) -> list[float]:
    return [await seconds(call) * 1_000 for _ in range(times)]


def quantiles(values: list[float]) -> str:
    cuts = (
        statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
    )
    return f"p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms, max {max(values):.2f} ms ({len(values)})"


async def drain(path: Path, jobs: int) -> float:
    """No-op jobs a second, from a queue of their own."""
    settings = Settings(queues=("bench:100",))
    async with opened(path) as store:
        for _ in range(0, jobs, 1_000):
            await store.enqueue([new_job("bench") for _ in range(1_000)])
        worker = Worker(store, Registry(handlers(settings)), settings)
        start = time.perf_counter()
        async with trio.open_nursery() as nursery:
            await nursery.start(worker.run)
            while (await store.counts())["bench"].get(State.QUEUED, 0):  # noqa: ASYNC110
                await trio.sleep(0.01)
            rate = jobs / (time.perf_counter() - start)
            worker.quiet()
    return rate


async def claims(store: SqliteStore) -> list[float]:
    async def claim() -> None:
        now = time.time()
        await store.claim("bench", ["noop"], 1, now, now + 60)

    return await timed(300, claim)


async def beside(
    store: SqliteStore, work: Callable[[], Awaitable[object]]
) -> tuple[float, list[float]]:
    """How long `work` took, and each of the enqueues that went on meanwhile."""
    times: list[float] = []

    async def enqueue() -> None:
        while True:
            times.append(await seconds(lambda: store.enqueue([new_job("beside")])) * 1_000)
            await trio.sleep(0.002)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(enqueue)
        await trio.sleep(0.2)
        times.clear()
        took = await seconds(work)
        nursery.cancel_scope.cancel()
    return took, times


async def prune_all(store: SqliteStore) -> None:
    now = time.time()
    cutoffs = [(None, State.DONE, now), (None, State.CANCELLED, now)]
    while await store.prune(cutoffs, now, PRUNED) == PRUNED:  # noqa: ASYNC110
        await trio.sleep(0.01)


async def cancel_all(store: SqliteStore) -> None:
    after: int | None = 0
    wanted = Filter(states=[State.QUEUED], queues=["backlog"])
    while after is not None:
        found = await store.scan(wanted, after, SLICE)
        if found.ids:
            await store.cancel(found.ids, time.time())
        after = found.next


async def bench(arguments: argparse.Namespace, directory: Path) -> None:
    full, empty = directory / "full.db", directory / "empty.db"
    await fill(full, arguments.finished, arguments.waiting)
    print(f"{arguments.finished:,} finished and {arguments.waiting:,} waiting jobs,"
          f" {full.stat().st_size / 1e6:.0f} MB")  # fmt: skip

    start = time.perf_counter()
    async with opened(full) as store:
        print(f"start               {time.perf_counter() - start:.2f} s")
        print(f"claim               {quantiles(await claims(store))}")
        for what, filter_ in {
            "all": Filter(),
            "pending": Filter(states=[State.SCHEDULED, State.QUEUED]),
            "failed": Filter(states=[State.FAILED, State.CANCELLED]),
            "of a type": Filter(types=["noop"]),
        }.items():
            page = lambda f=filter_: store.list_jobs(f, before=None, limit=50)  # noqa: E731
            print(f"list {what:15}{quantiles(await timed(50, page))}")
        print(f"queues              {quantiles(await timed(20, store.queues))}")

    jobs, rates = arguments.jobs, {full: [], empty: []}
    for path in (empty, full, full, empty):
        rates[path].append(await drain(path, jobs))
    ratio = sum(rates[full]) / sum(rates[empty])
    print(f"drain               full {max(rates[full]):,.0f}/s, empty {max(rates[empty]):,.0f}/s,"
          f" ratio {ratio:.2f}")  # fmt: skip

    async with opened(full) as store:
        took, times = await beside(store, lambda: cancel_all(store))
        print(f"cancel by filter    {took:.1f} s; an enqueue beside it {quantiles(times)}")
        took, times = await beside(store, lambda: prune_all(store))
        print(f"prune               {took:.1f} s; an enqueue beside it {quantiles(times)}")
        left = sum(n for queue in (await store.counts()).values() for n in queue.values())
        print(f"left                {left:,} jobs")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=20_000, help="drained for the rate")
    parser.add_argument("--directory", type=Path, help="where the databases are made")
    arguments = parser.parse_args()
    print(f"trio_jobs {__version__}, Python {platform.python_version()}, SQLite"
          f" {apsw.sqlite_lib_version()}, {platform.machine()}, synchronous=full")  # fmt: skip
    tune_process()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        trio.run(bench, arguments, Path(directory))


if __name__ == "__main__":
    main()
