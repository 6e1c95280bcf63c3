#!/usr/bin/env python3
"""Whole lives of the service on virtual time, each decided by a seed: is every promise kept?

    scripts/simulate.py                  # 200 seeds
    scripts/simulate.py --seeds 10000    # 13 minutes on two cores that are shared
    scripts/simulate.py --seed 42        # the trace of that one
    scripts/simulate.py --self-test      # guards are switched off: each must be missed

A world has clients, and two to four processes (the real service, worker, upkeep and store) on one
SQLite file. Between any two steps processes die, commits fail or nobody hears of them, heartbeats
are late, the clock is set, handlers hang, fail, and ignore that they are cancelled. What must hold
is in `simulation/law.py`. Exits with 1 where it did not; `--seed` tells the same story again.
The self-test exits with 1 when a guard was off and nobody noticed.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext

from simulation.guards import GUARDS
from simulation.world import Lived, lived

from trio_jobs import __version__

HUNT = 1_000  # seeds, until a guard that is off must have been missed
TWICE = 50  # every so many seeds, one lives twice: does it decide everything?


def main() -> int:
    options = arguments()
    without = nullcontext() if options.without is None else GUARDS[options.without]()
    with without, multiprocessing.Pool(options.jobs) as pool:
        if options.seed is not None:
            return tell(lived(options.seed))
        if options.self_test:
            return missed(pool.imap(hunt, options.guard or GUARDS))
        seeds = range(options.first, options.first + options.seeds)
        print(
            f"trio_jobs {__version__}, seeds {seeds[0]:,} to {seeds[-1]:,}, "
            f"{options.jobs} at a time"
        )
        start = time.monotonic()
        worlds = list(report(pool.imap_unordered(outlined, seeds, chunksize=4)))
        seconds = time.monotonic() - start
    print(
        f"{seconds:.0f} s, {len(worlds) / seconds:.1f} worlds a second; in them "
        f"{sum(world.seconds for world in worlds) / 3600:,.1f} h, "
        f"{sum(world.jobs for world in worlds):,} jobs, "
        f"{sum(world.steps for world in worlds):,} writes, "
        f"{sum(world.deaths for world in worlds):,} processes that ended"
    )
    broken = sum(world.breach is not None for world in worlds)
    print(f"{broken} of them broke a promise" if broken else "no promise was broken")
    return 1 if broken else 0


def tell(world: Lived) -> int:
    print(*world.lines, sep="\n")
    print(f"seed {world.seed}, trace {world.digest}: {world.breach or 'no promise was broken'}")
    return 0 if world.breach is None else 1


def outlined(seed: int) -> Lived:
    """A life without its trace."""
    world = lived(seed)
    if seed % TWICE == 0 and lived(seed).digest != world.digest:
        world = world._replace(breach="it has lived twice, and not the same")
    return world._replace(lines=[])


def report(worlds: Iterable[Lived]) -> Iterable[Lived]:
    for world in worlds:
        if world.breach is not None:
            print(f"seed {world.seed}: {world.breach}", flush=True)
        yield world


def hunt(guard: str) -> tuple[str, int | None, str]:
    """The first seed that misses the guard, and how."""
    with GUARDS[guard]():
        for seed in range(1, HUNT + 1):
            if (breach := lived(seed).breach) is not None:
                return guard, seed, breach.rstrip(" \n|+-").splitlines()[-1].lstrip(" |")
    return guard, None, f"NOT NOTICED in {HUNT} seeds"


def missed(hunts: Iterable[tuple[str, int | None, str]]) -> int:
    found = []
    for guard, seed, how in hunts:
        print(f"{guard:45} {'' if seed is None else f'seed {seed}':9} {how}", flush=True)
        found.append(seed is not None)
    print("each guard was missed" if all(found) else "SOME GUARDS WERE NOT MISSED")
    return 0 if all(found) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one, with its trace")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="worlds at a time")
    parser.add_argument(
        "--without", choices=GUARDS, metavar="GUARD", help="with this guard switched off"
    )
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument(
        "--guard", choices=GUARDS, action="append", help="for the self-test, of all"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
