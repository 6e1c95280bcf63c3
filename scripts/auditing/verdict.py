"""What the ledger, the executions and the service say, held against each other."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

from trio_jobs.job import CRASHES_ALLOWED

from .producer import Ledger


class Execution(NamedTuple):
    """A line that a handler wrote: it began or ended, which job, its attempt, where, when."""

    what: str
    id: str
    attempt: int
    pid: int
    at: float


def executions(file: Path) -> list[Execution]:
    """All of them, in their order."""
    found = []
    for line in file.read_text().splitlines():
        what, id_, attempt, pid, at = line.split()
        found.append(Execution(what, id_, int(attempt), int(pid), float(at)))
    return found


@dataclass(frozen=True)
class Verdict:
    """Each of the first four must be empty. Jobs that three kills have hit are `quarantined`."""

    lost: list[str]  # acknowledged, and not there or not done
    doubled: list[str]  # one key, two jobs
    stale: list[str]  # the result is that of an attempt which the job was not in
    unexplained: list[str]  # run again, or quarantined, although no process was killed meanwhile
    quarantined: int
    jobs: int
    again: int  # executions after the first
    gaps: list[float]  # seconds from a kill until what it cut off ran again

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.stale or self.unexplained)

    def lines(self) -> Iterable[str]:
        yield (
            f"jobs {self.jobs:,}, executions after the first {self.again:,}, "
            f"quarantined after three kills {self.quarantined}"
        )
        for name in ("lost", "doubled", "stale", "unexplained"):
            found = getattr(self, name)
            yield f"{name:12} {len(found)}" + (f"  e.g. {', '.join(found[:3])}" if found else "")
        if len(self.gaps) > 1:
            p99 = quantiles(self.gaps, n=100)[98]
            yield f"run again after a kill: p50 {quantiles(self.gaps)[1]:.2f} s, p99 {p99:.2f} s"


def judge(
    ledger: Ledger, stored: dict[str, dict[str, object]], ran: list[Execution], kills: list[float]
) -> Verdict:
    """`stored` are the jobs as the service shows them at the end, by id."""
    known = set(ledger.acknowledged.values())
    begins: defaultdict[str, list[Execution]] = defaultdict(list)
    ended = {(one.id, one.pid, one.attempt) for one in ran if one.what == "end"}
    for one in ran:
        if one.what == "begin":
            begins[one.id].append(one)
    unexplained, gaps = [], []
    for id_, lives in begins.items():
        for before, after in pairwise(lives):
            between = [at for at in kills if before.at - 0.1 <= at <= after.at]
            if not between:
                unexplained.append(id_)
            elif (id_, before.pid, before.attempt) not in ended:
                gaps.append(after.at - between[0])
    poison = {i for i, job in stored.items() if job["reason"] == "poison"}
    for id_ in poison:
        since = min((one.at for one in begins[id_]), default=0.0) - 0.1
        if sum(at >= since for at in kills) < CRASHES_ALLOWED:
            unexplained.append(id_)
    return Verdict(
        lost=[i for i in known - poison if i not in stored or stored[i]["status"] != "done"],
        doubled=sorted(set(stored) - known) if len(stored) > len(ledger.attempted) else [],
        stale=[i for i, job in stored.items() if _is_stale(job)],
        unexplained=unexplained,
        quarantined=len(poison),
        jobs=len(stored),
        again=sum(len(lives) - 1 for lives in begins.values()),
        gaps=gaps,
    )


def _is_stale(job: dict[str, object]) -> bool:
    return job["status"] == "done" and job["output"] != job["attempt"]
