"""One peer's round: every phase in a process of its own, on a new database."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Protocol

from .catalogue import Peer
from .environment import Missing, command, variables
from .process import Failed, Figures, Process

WARM_UP = 5  # pings that open connections and are not counted
START = 30.0  # seconds a process has for its imports and connections, and to end


class Store(Protocol):
    def database(self) -> str: ...
    def settle(self) -> None: ...


@dataclass(frozen=True)
class Size:
    """`few` jobs are enqueued one by one, `jobs` in any other way; a phase ends after `seconds`.

    Between two `pings` there is a `pause`, or what a queue does to gather jobs that come close
    together would be measured: ours sends a NOTIFY at most every 15 ms.
    """

    jobs: int
    few: int
    pings: int
    pause: float
    seconds: float


class Bench:
    """Measures one peer, which is installed when this is made."""

    def __init__(self, peer: Peer, cache: Path, store: Store, size: Size) -> None:
        self.peer = peer
        self._command = command(peer, cache)
        self._variables = variables(peer, cache)
        self._store = store
        self._size = size

    def about(self) -> Figures:
        return self._run("about", self._store.database(), 0)

    def round(self, concurrency: tuple[int, ...]) -> Figures:
        """One round. A phase that fails leaves its reason, and the others go on."""
        size = self._size
        figures: Figures = {}
        for phase, jobs in (("enqueue", size.few), ("crowd", size.jobs), ("bulk", size.jobs)):
            figures[phase] = _or_reason(self._rate, phase, jobs)
        for slots in concurrency:
            drained = _or_reason(self._drain, slots, 1)
            if isinstance(drained, str):
                figures.setdefault("drain", drained)
            elif "concurrency" not in figures or drained[0] > figures["drain"]:
                figures |= {"drain": drained[0], "rss_mb": drained[1], "concurrency": slots}
        if self.peer.pair and "concurrency" in figures:
            drained = _or_reason(self._drain, figures["concurrency"], 2)
            figures["pair"] = drained if isinstance(drained, str) else drained[0]
        waits = _or_reason(self._idle)
        known = isinstance(waits, list)
        figures["p50"] = median(waits) if known else waits
        figures["p99"] = quantiles(waits, n=100, method="inclusive")[98] if known else waits
        return figures

    def _rate(self, phase: str, jobs: int) -> float | str:
        found = self._run(phase, self._fresh(), jobs)
        if "unsupported" in found:
            return str(found["unsupported"])
        return float(found["jobs"] / found["seconds"])

    def _drain(self, slots: int, processes: int) -> tuple[float, float | None]:
        """Jobs per second from the first start to the last completion, and the largest worker."""
        dsn, jobs = self._fresh(), self._size.jobs
        self._run("fill", dsn, jobs)
        self._store.settle()
        with ExitStack() as running:
            workers = [
                running.enter_context(self._worker(dsn, jobs, slots)) for _ in range(processes)
            ]
            for worker in workers:
                worker.ready(START)
            for worker in workers:
                worker.go()
            found = [worker.result(self._size.seconds + START) for worker in workers]
        first = min((one["first"] for one in found if one["first"]), default=None)
        end = max(one["end"] for one in found)
        left = min(one["left"] for one in found)
        ran = [one["handled"] for one in found]
        if first is None or (None not in ran and sum(ran) < jobs - left):
            raise Failed(f"only {sum(filter(None, ran)):,} of {jobs:,} handlers ran")
        memory = [one["rss_mb"] for one in found if one["rss_mb"]]
        return (jobs - left) / (end - first), max(memory, default=None)

    def _idle(self) -> list[float]:
        """Milliseconds from enqueue to the handler's first line, one job at a time."""
        dsn = self._fresh()
        with tempfile.TemporaryDirectory() as directory, ExitStack() as running:
            stamps = Path(directory, "stamps")
            options = {"stamps": str(stamps), "pause": str(self._size.pause)}
            if self.peer.one_process:
                options["beside"] = "yes"
            else:
                worker = self._worker(dsn, 0, self.peer.concurrency[0], **options)
                running.enter_context(worker).ready(START)
                worker.go()
            self._run("ping", dsn, self._size.pings + WARM_UP, **options)
            waits = [float(line) * 1e3 for line in stamps.read_text().split()][WARM_UP:]
        if len(waits) < 2:
            raise Failed(f"only {len(waits)} jobs started within {self._size.seconds:g} s")
        return waits

    def _fresh(self) -> str:
        dsn = self._store.database()
        self._run("create", dsn, 0)
        return dsn

    def _run(self, phase: str, dsn: str, jobs: int, **options: str) -> Figures:
        with self._process(phase, dsn, jobs, 64, options) as process:
            return process.result(10 * self._size.seconds + START)

    def _worker(self, dsn: str, jobs: int, slots: int, **options: str) -> Process:
        return self._process("work", dsn, jobs, slots, options)

    def _process(
        self, phase: str, dsn: str, jobs: int, slots: int, options: dict[str, str]
    ) -> Process:
        words = {"dsn": dsn, "jobs": jobs, "concurrency": slots, "seconds": self._size.seconds}
        flags = [f"--{name}={value}" for name, value in {**words, **options}.items()]
        return Process([*self._command, phase, *flags], self._variables)


def _or_reason(measure: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return measure(*arguments)
    except (Failed, Missing) as reason:
        return str(reason)
