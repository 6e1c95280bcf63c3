#!/usr/bin/env python3
"""Mixed load and random faults for a long time: does all stay flat, quick, and complete?

    scripts/soak.py --seconds 3600 --json soak.json --svg soak.svg > soak.md
    scripts/soak.py --self-test    # 15 seconds in which a job type leaks: the verdict must say so

Starts a service of its own on SQLite, and a worker process beside it; asks it everything at once,
with jobs of many kinds; and breaks something every now and then (a kill -9, a stop, a long reader,
a backup, a slow disk, reset connections, a retry storm). What the serving process holds is measured
every second, over its one life.

Exits with 1 when memory, descriptors, threads, tasks or the WAL grew by more than a tenth between
the first third (after a warm-up) and the last, when the event loop's lag has a p99 above 25 ms, or
when an acknowledged job was lost, has not ended, or ended as it should not.
"""

import argparse
import importlib.util
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import trio
from load_testing import report as load_report
from soaking import report
from soaking.crew import Crew
from soaking.faults import Faults
from soaking.ledger import Ledger
from soaking.sampler import take_samples
from soaking.samples import Sample
from soaking.traffic import Traffic
from soaking.verdict import judge
from soaking.watcher import Watcher

from trio_jobs import __version__

PATIENCE = 60.0  # seconds in which the last jobs have to end


async def soak(options: argparse.Namespace, directory: Path) -> int:
    """The exit code."""
    caption = (
        f"trio_jobs {__version__}, {options.rate:g} requests/s for {options.seconds:g} s, a fault "
        f"every {options.every:g} s, seed {options.seed}; {load_report.machine()}"
    )
    print(caption, flush=True)
    ledger, samples = Ledger(), list[Sample]()
    crew = Crew(directory, options.keep)
    await crew.start()
    try:
        watcher = Watcher(crew.serving.url, ledger)
        traffic = Traffic(crew.serving.url, random.Random(options.seed), ledger)
        faults = Faults(crew, traffic, random.Random(f"faults {options.seed}"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.run)
            nursery.start_soon(take_samples, crew, ledger, samples)
            async with trio.open_nursery() as load:
                load.start_soon(traffic.run, options.rate, options.seconds)
                load.start_soon(faults.run, options.every, options.seconds)
            measured = list(samples)  # without the silence at the end
            unended = await wait_for_all(watcher, ledger)
            nursery.cancel_scope.cancel()
    finally:
        exits = crew.stop()
    verdict = judge(measured, ledger, traffic.answers, unended, exits, faults.failed)
    print(*report.markdown(verdict, ledger, traffic.answers, faults.done), sep="\n")
    if any(exits):
        print(crew.last_words(), file=sys.stderr)
    if options.json:
        told = report.figures(verdict, ledger, traffic.answers, faults.done, measured)
        options.json.write_text(json.dumps({"caption": caption, **told}, indent=1) + "\n")
    if options.svg:
        report.draw(options.svg, caption, measured, faults.done)
    if options.self_test:
        found = {growth.measure.name for growth in verdict.growths if not growth.is_flat}
        is_found = {"memory_mb", "descriptors"} <= found
        print("the leak was found" if is_found else "THE LEAK WAS NOT FOUND")
        return 0 if is_found else 1
    return 1 if verdict.faults else 0


async def wait_for_all(watcher: Watcher, ledger: Ledger) -> list[str]:
    """Those acknowledged jobs that neither end in time nor wait for a time to come."""
    deadline = trio.current_time() + PATIENCE
    while True:
        ids = list(ledger.open)
        left = set(ids) - await watcher.look(ids)
        late = [f"{id_} ({ledger.open[id_].type})" for id_ in left if id_ in ledger.open]
        if not late or trio.current_time() > deadline:
            return late
        await trio.sleep(0.5)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--seconds", type=float, default=600.0, help="of load")
    add("--rate", type=float, default=150.0, help="requests a second")
    add("--every", type=float, default=30.0, help="seconds from fault to fault")
    add("--keep", default="30s", help="how long finished jobs are kept")
    add("--seed", type=int, default=int(time.time()))
    add("--json", type=Path, metavar="FILE")
    add("--svg", type=Path, metavar="FILE", help="needs the extra `plot`")
    add("--self-test", action="store_true", help="leak: exits with 0 if that is found")
    options = parser.parse_args()
    if options.svg and importlib.util.find_spec("matplotlib") is None:
        parser.error("--svg needs matplotlib: pip install 'trio-jobs[plot]'")
    return options


if __name__ == "__main__":
    chosen = arguments()
    if chosen.self_test:
        os.environ["SOAK_LEAK"] = "1"
        chosen.seconds = 15.0  # it leaks 20 MB a second
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        sys.exit(trio.run(soak, chosen, Path(place)))
