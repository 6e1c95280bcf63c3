"""What is done in each phase; see harness."""

import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from harness import BATCH, BESIDE, BREATH, CROWD, JOBS, LOOK, SECONDS, STAMPS, Loop, Peer
from harness import handled, memory, report


async def create(peer: Peer, _loop: Loop) -> None:
    await peer.create()
    report()


async def enqueue(peer: Peer, _loop: Loop) -> None:
    await _timed(lambda stop: _one_by_one(peer, JOBS, stop))


async def crowd(peer: Peer, loop: Loop) -> None:
    async def all_of_them(stop: float) -> int:
        stored = []

        async def one_of_them() -> None:
            stored.append(await _one_by_one(peer, max(1, JOBS // CROWD), stop))

        await loop.crowd(CROWD, one_of_them)
        return sum(stored)

    await _timed(all_of_them)


async def bulk(peer: Peer, _loop: Loop) -> None:
    if not peer.bulk:
        report(unsupported="no call for many jobs")

    async def batches(stop: float) -> int:
        stored = 0
        while stored < JOBS and time.monotonic() < stop:
            await peer.many(range(min(BATCH, JOBS - stored)))
            stored += min(BATCH, JOBS - stored)
        return stored

    await _timed(batches)


async def fill(peer: Peer, _loop: Loop) -> None:
    for first in range(0, JOBS, BATCH):
        await peer.many(range(min(BATCH, JOBS - first)))
    report()


async def work(peer: Peer, loop: Loop) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    stop = time.monotonic() + SECONDS
    first = 0.0
    await peer.start()
    while STAMPS:
        await loop.sleep(1)
    while True:
        before = handled.count
        await loop.sleep(LOOK)
        # Asking costs the queue something: not while jobs start here, and there are more to come.
        asked = before == handled.count or handled.count >= JOBS or time.monotonic() > stop
        left = await peer.left() if asked else JOBS
        if left < JOBS and not first:
            first = handled.first or time.monotonic()  # handled elsewhere: seen a look later
        if left == 0 or time.monotonic() > stop:
            end = time.monotonic()
            report(first=first, end=end, left=left, rss_mb=memory(peer.worker_pid()))


async def ping(peer: Peer, loop: Loop) -> None:
    stamps = Path(STAMPS)
    stop = time.monotonic() + SECONDS
    if BESIDE:
        await peer.start()
    for _ in range(JOBS):
        before = stamps.stat().st_size if stamps.exists() else 0
        await peer.one(time.monotonic())
        while not stamps.exists() or stamps.stat().st_size == before:
            if time.monotonic() > stop:
                report()
            await loop.sleep(0.001)
        await loop.sleep(BREATH)
    report()


async def _one_by_one(peer: Peer, jobs: int, stop: float) -> int:
    for n in range(jobs):
        if time.monotonic() > stop:
            return n
        await peer.one(n)
    return jobs


async def _timed(store: Callable[[float], Awaitable[int]]) -> None:
    start = time.monotonic()
    jobs = await store(start + SECONDS)
    report(jobs=jobs, seconds=time.monotonic() - start)


PHASES = {
    phase.__name__: phase for phase in (create, enqueue, crowd, bulk, fill, work, ping)
}
