"""What may stand in a transaction of the SQLite store: one class per verb that writes.

A kind that can merges all its writes of a batch into one call of a procedure
(sqlite_procedures.sql); the others make one call each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import apsw
import msgspec

from ..job import CRASHES_ALLOWED
from .batcher import Patience
from .queries import load
from .records import Claimed, Lease, NewJob, Promoted, Rescued, Settlement

_SQL = load("sqlite.sql")


class Write:
    """What one caller wants written.

    `order` fixes who goes first within a transaction: a slot freed by a settle and a job that was
    just enqueued are both there for the claim behind them. `patience` is for the batcher.
    """

    __slots__ = ()
    order: ClassVar[int]
    patience: ClassVar[Patience] = Patience.NONE

    @property
    def weight(self) -> int:
        """About how many rows it touches; a row counts once more for each 500 bytes of body."""
        return 1

    def run(self, db: apsw.Connection) -> Any:
        """In the thread, inside the transaction: the answer."""
        raise NotImplementedError

    @classmethod
    def apply(cls, db: apsw.Connection, writes: Sequence[Any]) -> list[Any]:
        """All writes of a kind: the answers, in their order. Those that merge override this."""
        return [write.run(db) for write in writes]


def transact(db: apsw.Connection, writes: Sequence[Write], check: Callable[[], None]) -> list[Any]:
    """All of `writes` in one transaction, or none; the answers, in their order.

    `check` has the last word before the commit.
    """
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
        check()
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise
    return answers


def _weight(text: str | None, raw_hex: str | None) -> int:
    return 1 + len(text or raw_hex or "") // 500


def _json(rows: Any) -> str:
    return msgspec.json.encode(rows).decode()


def _call(db: apsw.Connection, verb: str, *args: Any) -> str:
    """Calls a procedure of sqlite_procedures.sql; what it has to say."""
    db.execute(_SQL[verb], args)
    said: str = db.execute(_SQL["answer"]).get
    return said


@dataclass(frozen=True, slots=True)
class Settle(Write):
    settlements: Sequence[Settlement]
    now: float
    order = 0
    patience = Patience.MOMENT

    @property
    def weight(self) -> int:
        return sum(_weight(row.result_text, row.result_hex) for row in self.settlements)

    @classmethod
    def apply(cls, db: apsw.Connection, writes: Sequence["Settle"]) -> list[set[str]]:
        rows = list(chain.from_iterable(write.settlements for write in writes))
        if len(writes) > 1 and len({row.id for row in rows}) < len(rows):
            # Two verdicts on one job: at most one can be right, and both callers must know which.
            return [answer for write in writes for answer in cls.apply(db, [write])]
        said = _call(db, "do_settle", _json(rows), max(write.now for write in writes))
        accepted = set(msgspec.json.decode(said, type=list[str]))
        return [accepted & {row.id for row in write.settlements} for write in writes]


@dataclass(frozen=True, slots=True)
class Rescue(Write):
    """`living` is asked inside the transaction: whoever has claimed a job by then is seen alive."""

    now: float
    living: Callable[[], set[str]]
    limit: int
    order = 1

    def run(self, db: apsw.Connection) -> Rescued:
        living = _json(sorted(self.living()))
        said = _call(db, "do_rescue", self.now, living, CRASHES_ALLOWED, self.limit)
        moved = msgspec.json.decode(said, type=dict[str, int])
        return Rescued(moved.get("queued", 0), moved.get("failed", 0))


@dataclass(frozen=True, slots=True)
class Promote(Write):
    now: float
    limit: int
    order = 2

    def run(self, db: apsw.Connection) -> Promoted:
        said = _call(db, "do_promote", self.now, self.limit)
        moved = msgspec.json.decode(said, type=dict[str, int])
        return Promoted(moved.get("queued", 0), db.execute(_SQL["next_due"]).get)


@dataclass(frozen=True, slots=True)
class Enqueue(Write):
    jobs: Sequence[NewJob]
    order = 3
    patience = Patience.TURN

    @property
    def weight(self) -> int:
        return sum(_weight(row.payload_text, row.payload_hex) for row in self.jobs)

    @classmethod
    def apply(cls, db: apsw.Connection, writes: Sequence["Enqueue"]) -> list[None]:
        rows = list(chain.from_iterable(write.jobs for write in writes))
        db.execute(_SQL["do_enqueue"], (_json(rows),))
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

    def run(self, db: apsw.Connection) -> list[Claimed]:
        types = _json(self.types)
        args = (self.worker, types, self.limit, self.now, self.expires_at, self.last_chance)
        return msgspec.json.decode(_call(db, "do_claim", *args), type=list[Claimed])


@dataclass(frozen=True, slots=True)
class Extend(Write):
    leases: Sequence[Lease]
    expires_at: float
    order = 5

    def run(self, db: apsw.Connection) -> set[str]:
        return extend(db, self.leases, self.expires_at)


def extend(db: apsw.Connection, leases: Sequence[Lease], expires_at: float) -> set[str]:
    """The ids of the leases that are still held, now until `expires_at`."""
    rows = _json(leases)
    db.execute(_SQL["extend"], (rows, expires_at))
    return set(msgspec.json.decode(db.execute(_SQL["extend_answer"], (rows,)).get, type=list[str]))


@dataclass(frozen=True, slots=True)
class Touch(Write):
    """Writes and commits a page as it was: proof that the disk takes it."""

    order = 6

    def run(self, db: apsw.Connection) -> None:
        db.execute(_SQL["touch"])
