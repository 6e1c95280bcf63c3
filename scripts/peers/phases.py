"""What is done in each phase; `harness` says what each prints."""

import os
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from math import inf
from pathlib import Path

import harness
from harness import Loop, Peer, handled, memory, report


async def about(peer: Peer, _loop: Loop) -> None:
    versions = {package: version(package) for package in peer.packages}
    report(versions=versions, settings=peer.settings)


async def create(peer: Peer, _loop: Loop) -> None:
    await peer.create()
    report()


async def enqueue(peer: Peer, _loop: Loop) -> None:
    await _timed(peer, lambda stop: _one_by_one(peer, harness.JOBS, stop))


async def crowd(peer: Peer, loop: Loop) -> None:
    async def all_of_them(stop: float) -> int:
        stored = []

        async def one_of_them() -> None:
            jobs = max(1, harness.JOBS // harness.CROWD)
            stored.append(await _one_by_one(peer, jobs, stop))

        await loop.crowd(harness.CROWD, one_of_them)
        return sum(stored)

    await _timed(peer, all_of_them)


async def bulk(peer: Peer, _loop: Loop) -> None:
    if not peer.bulk:
        report(unsupported="no call for many jobs")
    await _timed(peer, lambda stop: _batches(peer, stop))


async def fill(peer: Peer, _loop: Loop) -> None:
    await _batches(peer, inf)
    report()


async def work(peer: Peer, loop: Loop) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    stop = time.monotonic() + harness.SECONDS
    first = 0.0
    await peer.start()
    while harness.STAMPS:
        await loop.sleep(1)
    while True:
        before = handled.count
        await loop.sleep(harness.LOOK)
        # Asking costs the queue something: not while jobs start here, and there are more to come.
        asked = before == handled.count or handled.count >= harness.JOBS or time.monotonic() > stop
        left = await peer.left() if asked else harness.JOBS
        if left < harness.JOBS and not first:
            first = handled.first or time.monotonic()  # handled elsewhere: seen a look later
        if left == 0 or time.monotonic() > stop:
            end = time.monotonic()
            worker = peer.worker_pid()
            here = handled.count if worker == os.getpid() else None
            report(first=first, end=end, left=left, handled=here, rss_mb=memory(worker))


async def ping(peer: Peer, loop: Loop) -> None:
    stop = time.monotonic() + harness.SECONDS
    if harness.BESIDE:
        await peer.start()
    for _ in range(harness.JOBS):
        before = _stamped()
        await peer.one(time.monotonic())
        while _stamped() == before:
            if time.monotonic() > stop:
                report()
            await loop.sleep(0.001)
        await loop.sleep(harness.PAUSE)
    report()


def _stamped() -> int:
    stamps = Path(harness.STAMPS)
    return stamps.stat().st_size if stamps.exists() else 0


async def _one_by_one(peer: Peer, jobs: int, stop: float) -> int:
    for n in range(jobs):
        if time.monotonic() > stop:
            return n
        await peer.one(n)
    return jobs


async def _batches(peer: Peer, stop: float) -> int:
    stored = 0
    while stored < harness.JOBS and time.monotonic() < stop:
        size = min(harness.BATCH, harness.JOBS - stored)
        await peer.many(range(size))
        stored += size
    return stored


async def _timed(peer: Peer, store: Callable[[float], Awaitable[int]]) -> None:
    for n in range(harness.WARM_UP):
        await peer.one(n)
    start = time.monotonic()
    jobs = await store(start + harness.SECONDS)
    report(jobs=jobs, seconds=time.monotonic() - start)


PHASES = {
    phase.__name__: phase for phase in (about, create, enqueue, crowd, bulk, fill, work, ping)
}


def main(peer: Peer, loop: Loop) -> None:
    async def run() -> None:
        await peer.open()
        await PHASES[sys.argv[1]](peer, loop)

    loop.run(run)
