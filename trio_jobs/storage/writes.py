"""The verbs that write, one class each, but for enqueue (enqueue.py).

A kind that can merges all its writes of a batch into one call of a procedure
(`<dialect>_procedures.sql`); the others make one call each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec

from ..job import CRASHES_ALLOWED, State
from .batcher import Patience
from .doorbell import CANCELS, CHANGES, JOBS
from .records import Claimed, Expired, Lease, Promoted, Report, Rescued, Settlement
from .tokens import Token
from .wishes import Moved
from .write import Session, Write, as_json, weight

CHANGES_KEPT = 500_000
"""How many changes can be replayed: 15 MB, an hour at 140 changes a second."""


@dataclass(frozen=True, slots=True)
class Settle(Write):
    settlements: Sequence[Settlement]
    now: float
    reports: Sequence[Report] = ()
    order = 0
    rings = JOBS + CHANGES
    ends = True
    patience = Patience.MOMENT

    @property
    def weight(self) -> int:
        return sum(weight(row.result_text, row.result_hex) for row in self.settlements)

    @classmethod
    def apply(cls, db: Session, writes: Sequence["Settle"]) -> list[set[str]]:
        rows = list(chain.from_iterable(write.settlements for write in writes))
        if len(writes) > 1 and len({row.id for row in rows}) < len(rows):
            # Two verdicts on one job: at most one can be right, and both callers must know which.
            return [answer for write in writes for answer in cls.apply(db, [write])]
        if reports := [report for write in writes for report in write.reports]:
            db.call("do_report", as_json(reports), max(write.now for write in writes))
        said = db.call("do_settle", as_json(rows), max(write.now for write in writes))
        accepted = set(msgspec.json.decode(said, type=list[str]))
        return [accepted & {row.id for row in write.settlements} for write in writes]


@dataclass(frozen=True, slots=True)
class Rescue(Write):
    """`living` is asked inside the transaction: whoever has claimed a job by then is seen alive."""

    now: float
    living: Callable[[], set[str]]
    limit: int
    order = 1
    rings = JOBS + CHANGES
    ends = True

    def run(self, db: Session) -> Rescued:
        living = as_json(sorted(self.living()))
        said = db.call("do_rescue", self.now, living, CRASHES_ALLOWED, self.limit)
        moved = msgspec.json.decode(said, type=dict[str, int])
        return Rescued(moved.get("queued", 0), moved.get("failed", 0))


@dataclass(frozen=True, slots=True)
class Promote(Write):
    now: float
    limit: int
    order = 2
    rings = JOBS + CHANGES

    def run(self, db: Session) -> Promoted:
        said = db.call("do_promote", self.now, self.limit)
        moved = msgspec.json.decode(said, type=dict[str, int])
        return Promoted(moved.get("queued", 0), db.value("next_due"))


@dataclass(frozen=True, slots=True)
class Expire(Write):
    now: float
    limit: int
    order = 3
    ends = True

    def run(self, db: Session) -> Expired:
        said = db.call("do_expire", self.now, self.limit)
        moved = msgspec.json.decode(said, type=dict[str, int])
        return Expired(moved.get("cancelled", 0), db.value("next_deadline"))


@dataclass(frozen=True, slots=True)
class Prune(Write):
    """`jobs` are [seq, finished_at], as they were found a moment ago."""

    jobs: str
    now: float
    order = 4

    def run(self, db: Session) -> int:
        removed = int(db.call("do_prune", self.jobs, self.now, CHANGES_KEPT))
        if db.value("vacuum_due"):
            db.run("vacuum")
        return removed


@dataclass(frozen=True, slots=True)
class Wish(Write):
    """What a person asks of jobs: `procedure` answers with [id, before, after, done] for each."""

    procedure: str
    args: tuple[Any, ...]
    order = 6
    rings = JOBS + CANCELS + CHANGES
    ends = True

    def run(self, db: Session) -> dict[str, Moved]:
        said = db.call(self.procedure, *self.args)
        rows = msgspec.json.decode(said, type=list[tuple[str, State, State | None, bool]])
        return {id_: Moved(was, state, done) for id_, was, state, done in rows}


@dataclass(frozen=True, slots=True)
class Pause(Write):
    """Until resumed; `now` None resumes."""

    queue: str
    now: float | None
    order = 7
    rings = JOBS

    def run(self, db: Session) -> None:
        if self.now is None:
            db.run("resume", self.queue)
            db.run("forget_queue", self.queue)
        else:
            db.run("pause", self.queue, self.now)


@dataclass(frozen=True, slots=True)
class Limit(Write):
    """`most` None takes the limit away."""

    queue: str
    most: int | None
    order = 7
    rings = JOBS

    def run(self, db: Session) -> None:
        db.run("limit", self.queue, self.most)
        db.run("forget_queue", self.queue)


@dataclass(frozen=True, slots=True)
class Claim(Write):
    worker: str
    types: Sequence[str]
    limit: int
    now: float
    expires_at: float
    last_chance: bool
    queues: Mapping[str, int] | None
    order = 8

    def run(self, db: Session) -> list[Claimed]:
        types = as_json(self.types)
        limit = max(0, self.limit)  # SQLite takes less than nothing for all
        args = (self.worker, types, limit, self.now, self.expires_at, self.last_chance)
        queues = None if self.queues is None else as_json(self.queues)
        return msgspec.json.decode(db.call("do_claim", *args, queues), type=list[Claimed])


@dataclass(frozen=True, slots=True)
class Extend(Write):
    leases: Sequence[Lease]
    expires_at: float
    order = 9
    rings = ""

    def run(self, db: Session) -> set[str]:
        return extend(db, self.leases, self.expires_at)


def extend(db: Session, leases: Sequence[Lease], expires_at: float) -> set[str]:
    """The ids of the leases that are still held, now until `expires_at`."""
    rows = as_json(leases)
    db.run("extend", rows, expires_at)
    return set(msgspec.json.decode(db.value("extend_answer", rows), type=list[str]))


@dataclass(frozen=True, slots=True)
class Tell(Write):
    """Progress and log lines of attempts under way."""

    reports: Sequence[Report]
    now: float
    order = -1  # what was said before the end is not lost with the lease
    patience = Patience.MOMENT

    def run(self, db: Session) -> set[str]:
        said = db.call("do_report", as_json(self.reports), self.now)
        return set(msgspec.json.decode(said, type=list[str]))


@dataclass(frozen=True, slots=True)
class AddToken(Write):
    token: Token
    order = 10
    rings = ""

    def run(self, db: Session) -> None:
        db.run("add_token", as_json(self.token))


@dataclass(frozen=True, slots=True)
class RemoveToken(Write):
    id: str
    order = 10
    rings = ""

    def run(self, db: Session) -> bool:
        return db.value("remove_token", self.id) is not None


@dataclass(frozen=True, slots=True)
class Touch(Write):
    """Writes and commits a page as it was: proof that the disk takes it."""

    order = 11
    rings = ""

    def run(self, db: Session) -> None:
        db.run("touch")
