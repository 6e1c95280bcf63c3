"""What stands in a transaction, and how a batch of it becomes one. Nothing here knows a dialect:
a store's backend brings a `Session`, which is one transaction on its own connection.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import msgspec

from .batcher import Patience
from .doorbell import CHANGES
from .records import Job, NewJob

Ended = tuple[str, str, str, int]
"""Queue, type, final state, and how many jobs."""


Move = tuple[str, str | None, str | None, str | None, str | None, int]
"""Queue, to which queue, type, state before, state after, and how many jobs."""


Callback = Callable[[Job], NewJob]
"""Makes the job that tells of the end of another. It must not fail: nothing would end any more."""


class Endings(NamedTuple):
    """How many jobs have come to their end, and those with a callback as they were then. Bodies of
    more than 20 kB are left out."""

    counts: list[Ended]
    called: list[Job]


class AnswerTooLarge(Exception):
    """The rows of an answer are more than the database can hand over at once."""


class Session(Protocol):
    """A transaction under way: what writes may do in it. All of it blocks.

    The names are those of the dialect's `.sql` files: each verb has the same name, arguments and
    answer in all of them.
    """

    def run(self, query: str, *args: Any) -> None:
        """A statement without an answer, to its end."""

    def value(self, query: str, *args: Any) -> Any:
        """The one value that a query answers with."""

    def call(self, verb: str, *args: Any) -> str:
        """Calls a procedure; what it has to say."""

    def ended(self) -> Endings:
        """Which jobs have come to their end in this transaction, since it was asked last."""


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

    def run(self, db: Session) -> Any:
        """In the thread, inside the transaction: the answer."""
        raise NotImplementedError

    @classmethod
    def apply(cls, db: Session, writes: Sequence[Any]) -> list[Any]:
        """All writes of a kind: the answers, in their order. Those that merge override this."""
        return [write.run(db) for write in writes]


class Committed(NamedTuple):
    """The answers to the writes of a transaction, in their order; which jobs ended in it, and which
    were made to tell of that; how many seconds it took. `moves` and `told` are for backends that
    other processes must hear of.
    """

    answers: list[Any]
    ended: list[Ended]
    callbacks: list[NewJob]
    seconds: float
    moves: "Sequence[Move]" = ()
    told: int = 0  # changes


def perform(
    db: Session, writes: Sequence[Write], callback: Callback | None
) -> tuple[list[Any], list[Ended], list[NewJob]]:
    """All of `writes`, a kind at a time: their answers, which jobs have ended, and the jobs that
    `callback` has made of those that somebody wants to hear of."""
    answers: list[Any] = [None] * len(writes)
    places: dict[type[Write], list[int]] = {}
    for place, write in enumerate(writes):
        places.setdefault(type(write), []).append(place)
    for kind in sorted(places, key=lambda kind: kind.order):
        mine = places[kind]
        for place, answer in zip(mine, kind.apply(db, [writes[at] for at in mine]), strict=True):
            answers[place] = answer
    if not any(kind.ends for kind in places):
        return answers, [], []
    ended, called = db.ended()
    callbacks = [callback(job) for job in called] if callback else []
    if callbacks:
        db.run("do_enqueue", as_json(callbacks))
    return answers, ended, callbacks


def weight(text: str | None, raw_hex: str | None) -> int:
    return 1 + len(text or raw_hex or "") // 500


def as_json(rows: Any) -> str:
    return msgspec.json.encode(rows).decode()
