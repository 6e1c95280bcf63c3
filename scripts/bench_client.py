#!/usr/bin/env python3
"""How fast Python programs enqueue, one call a job: Client over HTTP, shared requests or not.

    scripts/bench_client.py [--jobs 20000] [--tasks 256]

The service runs in a process of its own, without a worker, and stores every job with fsync before
it answers; it counts the jobs in the end.
"""

import argparse
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import httpx
import trio

from trio_jobs.client import Client, SyncClient


@contextmanager
def service() -> Iterator[str]:
    """The URL of a new service."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        environ = {name: text for name, text in os.environ.items() if "TRIO_JOBS" not in name}
        command = [sys.executable, "-m", "trio_jobs", "serve", "--bind", "127.0.0.1:0"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--no-worker"], cwd=directory, env=environ, stderr=output
            )
        try:
            while not (found := re.search(r"serving on (http://[^\s\"]+)", log.read_text())):
                if process.poll() is not None:
                    sys.exit(log.read_text())
                time.sleep(0.02)
            yield found[1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


async def over_trio(url: str, jobs: int, tasks: int, coalesce: bool) -> float:
    """Seconds."""

    async def produce(client: Client, some: int) -> None:
        for n in range(some):
            await client.enqueue("noop", {"n": n})

    async with Client(url, coalesce=coalesce) as client:
        began = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(produce, client, jobs // tasks)
        return time.perf_counter() - began


async def in_lines(url: str, jobs: int) -> float:
    async with Client(url) as client:
        began = time.perf_counter()
        await client.enqueue_many({"type": "noop", "input": {"n": n}} for n in range(jobs))
        return time.perf_counter() - began


def over_threads(url: str, jobs: int, count: int, coalesce: bool) -> float:
    def produce(client: SyncClient) -> None:
        for n in range(jobs // count):
            client.enqueue("noop", {"n": n})

    with SyncClient(url, coalesce=coalesce) as client:
        threads = [threading.Thread(target=produce, args=(client,)) for _ in range(count)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began


def stored(url: str) -> int:
    queues = httpx.get(f"{url}/queues", trust_env=False).json()["queues"]
    return sum(sum(queue["jobs"].values()) for queue in queues)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--tasks", type=int, default=256)
    given = parser.parse_args()
    tasks, threads = given.tasks, 32
    jobs = max(1, given.jobs // tasks) * tasks
    fewer = max(1, jobs // 10 // tasks) * tasks  # for what is slow
    runs = {
        f"Client, {tasks} tasks": (jobs, lambda u, n: trio.run(over_trio, u, n, tasks, True)),
        "  coalesce=False": (fewer, lambda u, n: trio.run(over_trio, u, n, tasks, False)),
        f"SyncClient, {threads} threads": (fewer, lambda u, n: over_threads(u, n, threads, True)),
        "  coalesce=False ": (fewer, lambda u, n: over_threads(u, n, threads, False)),
        "Client.enqueue_many": (jobs, lambda u, n: trio.run(in_lines, u, n)),
    }
    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, SQLite "
        f"{apsw.sqlite_lib_version()}, durability full; client and service on this machine"
    )
    for name, (count, measure) in runs.items():
        with service() as url:
            seconds = measure(url, count)
            if (found := stored(url)) != count // threads * threads:
                sys.exit(f"{name}: {found} jobs stored of {count}")
        print(f"{name:28} {count / seconds:10,.0f} jobs/s   ({count:,} jobs, all there)")


if __name__ == "__main__":
    main()
