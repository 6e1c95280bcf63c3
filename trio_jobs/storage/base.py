"""The contract of a store: what it does, never how.

Every verb is set-based (lists in, lists out), async, and silent about threads. Verbs that change
something return only after the change is on stable storage (`durability=full`); callers that wait
at the same time share one transaction. A cancelled caller stops waiting; what was already on its
way to the disk may be stored all the same.

Every write that ends or extends an attempt is fenced: it counts only where the job is running
under the very lease token that it was claimed with. What comes too late is left out of the answer
and changes nothing.

Errors: Unavailable (busy, disk full: try again), Uncertain (failed in mid-commit: may or may not
be stored), StoreBroken (the file cannot be trusted any more; stop the process).

The contract suite (tests/storage/test_contract.py) runs against every backend.
"""

from collections.abc import Sequence
from typing import Protocol

import trio

from ..job import State
from .doorbell import Doorbell
from .records import Claimed, Counts, Job, Lease, NewJob, Page, Promoted, Rescued, Settlement


class Pulse(Protocol):
    """Extends leases from a thread of its own, on a connection of its own.

    The one part of a store that is not async: a blocked event loop must not cost a lease.
    """

    def extend(self, leases: Sequence[Lease], expires_at: float) -> set[str]:
        """The ids of the leases that are still held, now until `expires_at`."""

    def close(self) -> None: ...


class Store(Protocol):
    """Durable jobs. Times are Unix seconds and always the caller's.

    `run` opens the store, is ready when it calls `started()`, and serves until `close`.
    `identity` names this process as a worker; `doorbell` rings when a job may have become due.
    """

    doorbell: Doorbell

    @property
    def identity(self) -> str: ...

    async def run(self, *, task_status: trio.TaskStatus[None] = ...) -> None: ...

    async def enqueue(self, jobs: Sequence[NewJob]) -> None:
        """Stores all of `jobs` or none."""

    async def get(self, ids: Sequence[str]) -> dict[str, Job]:
        """Those that exist, by id, bodies included."""

    async def list_jobs(
        self, *, states: Sequence[State], type: str | None, before: int | None, limit: int
    ) -> Page:
        """Newest first, without bodies; `before` is the cursor of an earlier page."""

    async def counts(self) -> Counts:
        """How many jobs are in each queue and state; cheap at any size."""

    async def claim(
        self,
        worker: str,
        types: Sequence[str],
        limit: int,
        now: float,
        expires_at: float,
        last_chance: bool = True,
    ) -> list[Claimed]:
        """At most `limit` queued jobs of these types, now running under fresh lease tokens.

        Order: priority (higher first), then run_at, then age. With `last_chance`, one of them may
        be a job that one more crash will quarantine; a worker runs one of those at a time, so
        that the last crash tells the culprit from those that ran beside it.
        """

    async def extend(self, leases: Sequence[Lease], expires_at: float) -> set[str]:
        """The ids of the leases that are still held, now until `expires_at`."""

    async def settle(self, settlements: Sequence[Settlement], now: float) -> set[str]:
        """The ids of the jobs whose verdict was accepted; for all others the lease was lost."""

    async def promote(self, now: float, limit: int) -> Promoted:
        """Moves at most `limit` due jobs from scheduled to queued."""

    async def rescue(self, now: float, limit: int) -> Rescued:
        """Takes at most `limit` jobs from leases that ran out, or whose process is known dead.

        Their attempt is given back and a crash is counted instead; too many crashes quarantine
        the job (failed, reason `poison`), so that it cannot kill workers for ever.
        """

    async def check_writable(self) -> None:
        """Proves that a transaction can be committed; raises what stands against it."""

    def close(self) -> None:
        """No further calls; what waits is still answered, then `run` returns."""

    def pulse(self) -> Pulse:
        """For the heartbeat thread. Blocks; call it there."""
