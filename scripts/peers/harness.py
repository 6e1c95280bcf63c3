"""What a peer of the benchmark is, and what it may use; `phases` is what is done with it.

    python PEER.py PHASE --dsn=URL --jobs=N --concurrency=C --seconds=S [--stamps=FILE] [--pause=S]

Each phase prints one JSON line:

    about    versions and settings
    create   makes tables, where the queue needs them
    enqueue  one by one; `crowd`: from 64 tasks; `bulk`: by the call for many → jobs, seconds
    fill     stores N jobs, however long it takes
    work     prints `ready`, waits for a line on stdin, then works until nothing is left
             → first, end (CLOCK_MONOTONIC), left, handled (here, where it is known), rss_mb;
             with --stamps it never ends, and each handler writes there how long its job waited
    ping     enqueues N jobs, each when the one before has its stamp; with --beside=yes its worker
             is in the same process

Nothing but the standard library is imported here: every peer has an environment of its own.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Protocol

CROWD = 64
BATCH = 1_000
WARM_UP = 10  # calls before the clock starts: connections, caches
LOOK = 0.005  # seconds between two looks at what is left


def option(name: str, default: str = "") -> str:
    """From the command line; processes that a worker starts find it in the environment."""
    variable = f"BENCH_{name.upper()}"
    for word in sys.argv:
        if word.startswith(f"--{name}="):
            os.environ[variable] = word.partition("=")[2]
    return os.environ.get(variable, default)


DSN = option("dsn")
JOBS = int(option("jobs", "100"))
CONCURRENCY = int(option("concurrency", "10"))
SECONDS = float(option("seconds", "10"))
STAMPS = option("stamps")
BESIDE = bool(option("beside"))
PAUSE = float(option("pause", "0.02"))  # seconds from a ping's start to the next one


class Loop(Protocol):
    """What a phase asks of an event loop; on_asyncio, on_trio and on_threads have one each."""

    def run(self, main: Any) -> None: ...
    async def sleep(self, seconds: float) -> None: ...
    async def crowd(self, size: int, call: Any) -> None: ...


class Peer:
    """A queue. `start` leaves a worker running; what it costs to stop is not measured."""

    packages: tuple[str, ...]
    settings: str
    bulk = True  # it has a call for many jobs

    async def open(self) -> None: ...
    async def create(self) -> None: ...

    async def one(self, n: float) -> None:
        raise NotImplementedError

    async def many(self, numbers: range) -> None:
        for n in numbers:
            await self.one(n)

    async def start(self) -> None:
        raise NotImplementedError

    async def left(self) -> int:
        raise NotImplementedError

    def worker_pid(self) -> int:
        """Another one where the worker is a program of its own."""
        return os.getpid()


class Meter:
    """Counts the jobs that start in this process."""

    def __init__(self) -> None:
        self.count = 0
        self.first = 0.0
        self._stamps = os.open(STAMPS, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if STAMPS else None

    def __call__(self, n: float) -> None:
        if not self.count:
            self.first = time.monotonic()
        self.count += 1
        if self._stamps is not None:
            os.write(self._stamps, b"%f\n" % (time.monotonic() - n))


handled = Meter()


def report(**figures: Any) -> None:
    """Prints them and ends the process, whatever else still runs in it."""
    print(json.dumps(figures), flush=True)
    os._exit(0)


def memory(pid: int) -> float | None:
    """Megabytes that this process and those under it have had at most; None where nobody says."""
    proc = Path(f"/proc/{pid}")
    try:
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        children = (proc / "task" / str(pid) / "children").read_text().split()
    except OSError:
        return None
    own = int(status["VmHWM"].split()[0]) / 1024 if "VmHWM" in status else 0.0
    return own + sum(memory(int(child)) or 0.0 for child in children)
