"""What a store that commits in groups asks of its database."""

from collections.abc import Sequence
from typing import Any, Protocol

from .base import Pulse
from .records import Job
from .wishes import Filter
from .write import Committed, Write

Query = tuple[str, tuple[Any, ...]]
"""A name in the dialect's `.sql` file, and its arguments."""


class Backend(Protocol):
    """A database in use. All of it blocks, but for `identity` and `matching`; the four that take
    lists are each called from one thread at a time."""

    @property
    def identity(self) -> str: ...

    def open(self) -> None:
        """Raises StoreLocked, SchemaMismatch, StoreError."""

    def close(self) -> None: ...

    def transact(self, writes: Sequence[Write]) -> Committed:
        """All of `writes` in one transaction, or none."""

    def read_jobs(self, requests: Sequence[Sequence[str]]) -> list[dict[str, Job]]:
        """For each list of ids, the jobs that exist."""

    def read_values(self, queries: Sequence[Query]) -> list[Any]:
        """What each query answers with."""

    def search(self, queries: Sequence[Query]) -> list[Any]:
        """`read_values` for queries that may look at every job."""

    def living(self) -> set[str]:
        """The identities of processes of this machine that are known to live."""

    def matching(self, filter: Filter) -> str:
        """`filter` as the `matches` of this dialect reads it."""

    def pulse(self) -> Pulse: ...
