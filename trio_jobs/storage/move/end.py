"""What a move asks of a database, whatever it is. All of it blocks."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from .tables import Row, Table

Batch = Mapping[Table, Sequence[Row]]


class Marks(NamedTuple):
    """How far the numbers of a database have come: `job` is not used again, nor is `change`."""

    job: int
    change: int


class End(Protocol):
    """One end of a move, held so that nobody else writes there."""

    def identity(self) -> str:
        """The same for as long as the database lives, another one for any other database."""

    def marks(self) -> Marks: ...

    def weights(self, after: int, most: int) -> Sequence[tuple[int, int]]:
        """The numbers of up to `most` jobs after `after`, and about how many bytes each has."""

    def range(self, table: Table, after: int, upto: int) -> Sequence[Row]:
        """The rows of the jobs after `after`, up to and with `upto`."""

    def page(self, table: Table, after: str, most: int) -> Sequence[Row]:
        """Up to `most` rows whose name comes after `after`."""

    def count(self, table: Table) -> int: ...


class Target(End, Protocol):
    """The one that is written to. Until `finish` it says that it is unfinished, and no service
    opens it."""

    def last_job(self) -> int:
        """The number of the last job that is here, 0 without any."""

    def last_name(self, table: Table) -> str: ...

    def put(self, batch: Batch) -> None:
        """All of it in one transaction, or nothing."""

    def settle(self, marks: Marks) -> None:
        """What no row says: the counters are counted, and numbers go on after `marks`."""

    def finish(self) -> None:
        """From now on it is a database like any other."""
