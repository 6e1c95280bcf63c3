"""What `trio-jobs doctor` looks at where the jobs are in PostgreSQL."""

import time
from collections.abc import Iterator

from ..config import Settings
from ..errors import TrioJobsError
from ..storage import postgres_upkeep
from ..storage.migrations import UNFINISHED_MOVE_VERSION
from .finding import FAIL, OK, WARN, Finding

SLACK = 1.0  # seconds that the clocks may differ


def database(settings: Settings) -> Iterator[Finding]:
    """Is it there, is it ours, is it durable, and does it agree about the time?"""
    try:
        upkeep = postgres_upkeep()
        before = time.time()
        found = upkeep.standing(settings.database)
        now = (before + time.time()) / 2
    except TrioJobsError as error:
        yield Finding("database", FAIL, str(error), "Correct database, or start that server.")
        return
    if found.schema == UNFINISHED_MOVE_VERSION:
        advice = "Give the same `trio-jobs move` again, and it goes on."
        yield Finding("database", FAIL, "the target of a move that has not ended", advice)
    elif found.schema > upkeep.known():
        advice = "Upgrade trio_jobs."
        yield Finding("database", FAIL, f"schema {found.schema}, of a newer trio_jobs", advice)
    else:
        schema = f"schema {found.schema}" if found.schema else "empty: it is made at the start"
        yield Finding("database", OK, f"PostgreSQL {found.server}, {schema}")
    if not found.fsync:
        yield Finding("fsync", WARN, "off", "A power cut may cost that server all its data.")
    apart = found.now - now
    if abs(apart) > SLACK:
        advice = "Jobs follow the database's clock. Set both (NTP)."
        yield Finding(
            "database clock", WARN, f"the database's is {apart:+.1f} s from this one", advice
        )
    else:
        yield Finding(
            "database clock", OK, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.now))
        )
