#!/usr/bin/env python3
"""The power fails at random, under load: is everything on the disk that was promised?

    scripts/audit_powercut.py                # 1,000 cuts; needs strace (apt-get install strace)
    scripts/audit_powercut.py --cuts 40 --jobs 150
    scripts/audit_powercut.py --self-test    # with durability=relaxed: losses must be found

A service runs under strace, which notes in one order all that it writes, syncs and answers. Then
the power fails at moments of that record, half of them just when an answer was about to be sent:
what was not synced by then is dropped, kept or torn at random. The service's own code opens what is
left. Whatever a 201 acknowledged has to be there, and done with its result what a client has seen
done; SQLite's integrity check has to pass, and no job may be there by half. Besides, between the
last write of each job to the WAL and its 201 an fsync has to have begun and ended.

Exits with 1 when any of that does not hold, and keeps the record: `--directory` replays it. With 2
when there is no strace, with 3 when the audit itself failed, or found nothing in its self-test;
with 0 when that one found what was lost.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from auditing import strace
from auditing.aftermath import Damage, damage
from auditing.disk import Fate, contents, put
from auditing.evidence import Evidence, gathered
from auditing.wal import order

from trio_jobs import __version__

BREACH, NO_STRACE, PROVES_NOTHING = 1, 2, 3  # exit codes


def main() -> int:
    options = arguments()
    if reason := strace.missing():
        print(f"skipped: {reason}", file=sys.stderr)
        return NO_STRACE
    directory = options.directory or Path(tempfile.mkdtemp(prefix="audit-powercut-"))
    try:
        is_clean = audit(directory.resolve(), options)
    except Exception as error:
        if not isinstance(error, strace.Unusable):
            traceback.print_exc()
        print(f"this proves nothing (see {directory}): {error}", file=sys.stderr)
        return PROVES_NOTHING
    if is_clean:
        if options.directory is None:
            shutil.rmtree(directory)
    else:
        print(f"to look at it again: --directory {directory} --seed {options.seed}")
    return 0 if is_clean else BREACH


def audit(directory: Path, options: argparse.Namespace) -> bool:
    """Was every promise kept? In a self-test some must not be."""
    start = time.monotonic()
    durability = "relaxed" if options.self_test else "full"
    evidence = gathered(directory, durability, options.jobs)
    print(f"trio_jobs {__version__}, durability={durability}, {evidence.recording.summary()}")
    found = trial(evidence, options.cuts, options.seed)
    early = order(evidence.wals, evidence.said.stored)
    figures = {
        "cuts": options.cuts,
        "acknowledged": len(evidence.said.stored),
        "seen done": len(evidence.said.done),
        **{kind: len(cases) for kind, cases in vars(found).items()},
        "violations": len(early),
        "seconds": round(time.monotonic() - start),
        "seed": options.seed,
    }
    print("  ".join(figures))
    print("  ".join(f"{figure:>{len(name)},}" for name, figure in figures.items()))
    for kind, cases in {**vars(found), "violations": early}.items():
        if cases:
            print(f"{kind}, e.g. {'; '.join(cases[:3])}")
    if options.self_test and not (found.lost and early):
        raise strace.Unusable("what was acknowledged before it was synced has not been found")
    return options.self_test or not (found or early)


def trial(evidence: Evidence, cuts: int, seed: int) -> Damage:
    """The power fails so many times; what was found, each time for itself."""
    dice, total = random.Random(seed), Damage()
    moments = [
        dice.choice(evidence.answers).began if n % 2 else dice.choice(evidence.recording.moments)
        for n in range(cuts)
    ]
    for moment in sorted(moments):
        cut = moment + 0.5  # lines of the record; it has begun, or has ended
        with tempfile.TemporaryDirectory(prefix="after-powercut-") as place:
            put(contents(evidence.recording.folder, cut, Fate(dice)), Path(place))
            database = Path(place) / evidence.database
            total.add(damage(database, evidence.said, cut, evidence.inputs))
    return total


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--cuts", type=int, default=1_000)
    parser.add_argument("--jobs", type=int, default=1_500, help="that are acknowledged, at least")
    parser.add_argument("--seed", type=int, default=1, help="of the moments, and what they leave")
    parser.add_argument(
        "--directory", type=Path, help="where the record is, or will be (default: a temporary one)"
    )
    parser.add_argument("--self-test", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
