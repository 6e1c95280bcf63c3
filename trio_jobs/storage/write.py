"""What stands in a transaction of the SQLite store, and how a batch of it becomes one."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, ClassVar, NamedTuple

import apsw
import msgspec

from .batcher import Patience
from .queries import load

Ended = tuple[str, str, str, int]
"""Queue, type, final state, and how many jobs."""

_SQL = load("sqlite.sql")

JOBS, CANCELS, CHANGES = "j", "c", "w"
"""Letters of bells: there may be jobs to claim; running ones to stop; something to tell."""


class Write:
    """What one caller wants written.

    `order` fixes who goes first within a transaction: a slot freed by a settle and a job that was
    just enqueued are both there for the claim behind them. `patience` is for the batcher.
    """

    __slots__ = ()
    order: ClassVar[int]
    ends: ClassVar[bool] = False  # jobs may come to their end by it
    rings: ClassVar[str] = CHANGES  # the bells of other processes
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


class Committed(NamedTuple):
    """The answers to the writes of a transaction, in their order; which jobs ended in it; how many
    seconds it took.
    """

    answers: list[Any]
    ended: list[Ended]
    seconds: float


def transact(db: apsw.Connection, writes: Sequence[Write], check: Callable[[], None]) -> Committed:
    """All of `writes` in one transaction, or none; `check` has the last word before the commit."""
    start = perf_counter()
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
        ended = _ended(db) if any(kind.ends for kind in places) else []
        check()
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise
    return Committed(answers, ended, perf_counter() - start)


def _ended(db: apsw.Connection) -> list[Ended]:
    ended = msgspec.json.decode(value(db, "ended"), type=list[Ended])
    if ended:
        run(db, "forget_ended")
    return ended


def weight(text: str | None, raw_hex: str | None) -> int:
    return 1 + len(text or raw_hex or "") // 500


def as_json(rows: Any) -> str:
    return msgspec.json.encode(rows).decode()


def run(db: apsw.Connection, query: str, *args: Any) -> None:
    """A statement without an answer, to its end."""
    for _ in db.execute(_SQL[query], args):
        pass


def value(db: apsw.Connection, query: str, *args: Any) -> Any:
    """The one value that a query answers with."""
    return db.execute(_SQL[query], args).get


def call(db: apsw.Connection, verb: str, *args: Any) -> str:
    """Calls a procedure of sqlite_procedures.sql; what it has to say."""
    db.execute(_SQL[verb], args)
    said: str = db.execute(_SQL["answer"]).get
    return said
