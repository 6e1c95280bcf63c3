"""What may stand in a transaction of the SQLite store: one class per verb that writes.

`apply` takes all writes of its kind in a batch and merges them where it can: whatever their
number, it runs a handful of statements, none of them once per row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import apsw
import msgspec

from ..job import CRASHES_ALLOWED
from .queries import load
from .records import Claimed, Lease, NewJob, Promoted, Rescued, Settlement

_SQL = load("sqlite.sql")


class Write:
    """What one caller wants written.

    `order` fixes who goes first within a transaction: a slot freed by a settle and a job that was
    just enqueued are both there for the claim behind them. Writes that are `patient` may wait a
    millisecond for company.
    """

    __slots__ = ()
    order: ClassVar[int]
    patient: ClassVar[bool] = False

    @staticmethod
    def apply(db: apsw.Connection, writes: Sequence[Any]) -> list[Any]:
        """In the thread, inside the transaction: the answers, in the order of `writes`."""
        raise NotImplementedError


def transact(db: apsw.Connection, writes: Sequence[Write]) -> list[Any]:
    """All of `writes` in one transaction, or none; the answers, in their order."""
    answers: list[Any] = [None] * len(writes)
    places: dict[type[Write], list[int]] = {}
    for place, write in enumerate(writes):
        places.setdefault(type(write), []).append(place)
    db.execute("begin immediate")
    try:
        for kind in sorted(places, key=lambda kind: kind.order):
            mine = places[kind]
            for place, answer in zip(
                mine, kind.apply(db, [writes[at] for at in mine]), strict=True
            ):
                answers[place] = answer
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise
    return answers


def _json(rows: Any) -> str:
    return msgspec.json.encode(rows).decode()


def _finish(db: apsw.Connection, answer: str) -> str:
    """The end of every verb that moves jobs on: count, answer, clear."""
    db.execute(_SQL["count_moved"])
    result: str = db.execute(_SQL[answer]).get
    db.execute(_SQL["clear_moved"])
    return result


@dataclass(frozen=True, slots=True)
class Settle(Write):
    settlements: Sequence[Settlement]
    now: float
    order = 0
    patient = True

    @staticmethod
    def apply(db: apsw.Connection, writes: Sequence["Settle"]) -> list[set[str]]:
        rows = list(chain.from_iterable(write.settlements for write in writes))
        if len(writes) > 1 and len({row.id for row in rows}) < len(rows):
            # Two verdicts on one job: at most one can be right, and both callers must know which.
            return [answer for write in writes for answer in Settle.apply(db, [write])]
        now = max(write.now for write in writes)
        db.execute(_SQL["settle_pick"], (_json(rows),))
        if any(row.error_type is not None for row in rows):
            db.execute(_SQL["settle_attempts"], (now,))
        if any(row.content_type is not None for row in rows):
            db.execute(_SQL["settle_results"])
        db.execute(_SQL["settle_jobs"], (now,))
        accepted = set(msgspec.json.decode(_finish(db, "settle_answer"), type=list[str]))
        return [accepted & {row.id for row in write.settlements} for write in writes]


@dataclass(frozen=True, slots=True)
class Rescue(Write):
    """`living` is asked inside the transaction: whoever has claimed a job by then is seen alive."""

    now: float
    living: Callable[[], set[str]]
    limit: int
    order = 1

    @staticmethod
    def apply(db: apsw.Connection, writes: Sequence["Rescue"]) -> list[Rescued]:
        return [_rescue(db, write) for write in writes]


def _rescue(db: apsw.Connection, write: Rescue) -> Rescued:
    living = _json(sorted(write.living()))
    db.execute(_SQL["rescue_pick"], (write.now, living, CRASHES_ALLOWED, write.limit))
    db.execute(_SQL["settle_attempts"], (write.now,))
    db.execute(_SQL["settle_jobs"], (write.now,))
    moved = msgspec.json.decode(_finish(db, "moved_summary"), type=dict[str, int])
    return Rescued(moved.get("queued", 0), moved.get("failed", 0))


@dataclass(frozen=True, slots=True)
class Promote(Write):
    now: float
    limit: int
    order = 2

    @staticmethod
    def apply(db: apsw.Connection, writes: Sequence["Promote"]) -> list[Promoted]:
        return [_promote(db, write) for write in writes]


def _promote(db: apsw.Connection, write: Promote) -> Promoted:
    db.execute(_SQL["promote_pick"], (write.now, write.limit))
    db.execute(_SQL["promote_jobs"], (write.now,))
    moved = msgspec.json.decode(_finish(db, "moved_summary"), type=dict[str, int])
    return Promoted(moved.get("queued", 0), db.execute(_SQL["next_due"]).get)


@dataclass(frozen=True, slots=True)
class Enqueue(Write):
    jobs: Sequence[NewJob]
    order = 3

    @staticmethod
    def apply(db: apsw.Connection, writes: Sequence["Enqueue"]) -> list[None]:
        rows = _json(list(chain.from_iterable(write.jobs for write in writes)))
        first = db.execute(_SQL["next_seq"]).get
        db.execute(_SQL["enqueue_jobs"], (rows, first))
        db.execute(_SQL["enqueue_payloads"], (rows, first))
        db.execute(_SQL["enqueue_counts"], (rows,))
        return [None] * len(writes)


@dataclass(frozen=True, slots=True)
class Claim(Write):
    worker: str
    types: Sequence[str]
    limit: int
    now: float
    expires_at: float
    last_chance: bool
    order = 4

    @staticmethod
    def apply(db: apsw.Connection, writes: Sequence["Claim"]) -> list[list[Claimed]]:
        return [_claim(db, write) for write in writes]


def _claim(db: apsw.Connection, write: Claim) -> list[Claimed]:
    queues = msgspec.json.decode(db.execute(_SQL["claim_queues"]).get, type=list[str])
    if not queues:
        return []
    types = _json(write.types)
    picked = 0
    if write.last_chance:
        db.execute(_SQL["claim_pick_last_chance"], (types,))
        picked = db.changes()
    left = write.limit - picked
    if left and len(queues) == 1:
        db.execute(_SQL["claim_pick_from_one"], (types, left, queues[0]))
        picked += db.changes()
    elif left:
        db.execute(_SQL["claim_pick"], (types, left))
        picked += db.changes()
    if not picked:
        return []
    db.execute(_SQL["claim_jobs"], (write.worker, write.now, write.expires_at))
    return msgspec.json.decode(_finish(db, "claim_answer"), type=list[Claimed])


@dataclass(frozen=True, slots=True)
class Extend(Write):
    leases: Sequence[Lease]
    expires_at: float
    order = 5

    @staticmethod
    def apply(db: apsw.Connection, writes: Sequence["Extend"]) -> list[set[str]]:
        return [extend(db, write.leases, write.expires_at) for write in writes]


def extend(db: apsw.Connection, leases: Sequence[Lease], expires_at: float) -> set[str]:
    """The ids of the leases that are still held, now until `expires_at`."""
    rows = _json(leases)
    db.execute(_SQL["extend"], (rows, expires_at))
    return set(msgspec.json.decode(db.execute(_SQL["extend_answer"], (rows,)).get, type=list[str]))


@dataclass(frozen=True, slots=True)
class Touch(Write):
    """Changes nothing, but takes the write lock and commits: proof that writing works."""

    order = 6

    @staticmethod
    def apply(db: apsw.Connection, writes: Sequence["Touch"]) -> list[None]:
        return [None] * len(writes)
