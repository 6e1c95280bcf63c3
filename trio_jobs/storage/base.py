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

from collections.abc import Mapping, Sequence
from typing import Protocol

import trio

from ..job import State
from .doorbell import Doorbell
from .records import (
    Claimed,
    Counts,
    Enqueued,
    Expired,
    Job,
    Key,
    Lease,
    LogLine,
    NewJob,
    Page,
    Promoted,
    Report,
    Rescued,
    Settlement,
)
from .remote import Directive, Roster, Seen, Standing
from .tokens import Token
from .watching import AttemptRecord, Changes, QueueInfo
from .wishes import Amendment, Filter, Moved, Scan


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
    `identity` names this process as a worker. `doorbell` rings when a job may have become due,
    `cancels_bell` when a running one was asked to stop, `changes_bell` when anything has changed;
    each has one listener, and any number of `branch`es.

    However a job with a `callback_url` ends, the job that the store's `write.Callback` makes of it
    is stored in the same transaction.
    """

    doorbell: Doorbell
    cancels_bell: Doorbell
    changes_bell: Doorbell

    @property
    def identity(self) -> str: ...

    def now(self) -> float:
        """What time it is, for all who work on this store."""

    async def run(self, *, task_status: trio.TaskStatus[None] = ...) -> None: ...

    # ── asked by callers ──────────────────────────────────────────────────────────────────────

    async def enqueue(self, jobs: Sequence[NewJob], key: Key | None = None) -> Enqueued:
        """Stores all of `jobs` or none.

        Raises Conflict for a job with `on_conflict` reject, or replace of one that runs already;
        KeyReused when the key came with another fingerprint before.
        """

    async def cancel(self, ids: Sequence[str], now: float) -> dict[str, Moved]:
        """Cancels those that wait; asks those that run to stop (their state stays running).

        A job that was asked to stop is never run again: should its worker die, or hand it back, it
        is cancelled. Jobs that do not exist are left out of the answer, here and below.
        """

    async def retry(self, ids: Sequence[str], now: float) -> dict[str, Moved]:
        """Queues finished jobs again with fresh attempts: attempt and crashes are 0, the result
        and a deadline that has passed are gone; the history stays.

        Not done where another job holds its unique key by now.
        """

    async def amend(self, amendments: Sequence[Amendment], now: float) -> dict[str, Moved]:
        """Changes jobs that wait; their state follows from their new run_at.

        Of several for one job the last counts.
        """

    async def remove(self, ids: Sequence[str]) -> dict[str, Moved]:
        """Removes the records of finished jobs."""

    async def get(self, ids: Sequence[str]) -> dict[str, Job]:
        """Those that exist, by id, bodies included."""

    async def list_jobs(self, filter: Filter, *, before: int | None, limit: int) -> Page:
        """Newest first, without bodies; `before` is the cursor of an earlier page."""

    async def scan(self, filter: Filter, after: int, limit: int) -> Scan:
        """The ids of at most `limit` jobs that match, oldest first; for walking all of them.

        It looks at a bounded number of jobs, so a step may bring few or none. Start with 0.
        """

    async def counts(self) -> Counts:
        """How many jobs are in each queue and state; cheap at any size."""

    async def attempts(self, id: str) -> list[AttemptRecord]:
        """All attempts of a job, oldest first, the running one included."""

    async def logs(self, id: str, after: int, limit: int) -> list[LogLine]:
        """At most `limit` lines of a job with an `n` above `after`, oldest first."""

    async def ahead(self, id: str, limit: int) -> int:
        """How many queued jobs of its queue would be claimed before this queued one; at most
        `limit` are counted."""

    async def queues(self) -> list[QueueInfo]:
        """Every queue that has jobs or is paused, by name."""

    async def pause(self, queue: str, now: float) -> None:
        """No job of this queue is claimed, in any process, until `resume`."""

    async def resume(self, queue: str) -> None: ...

    async def changes(self, after: int | None, limit: int) -> Changes:
        """What has changed since the change number `after`; looks at `limit` changes at most.

        None: nothing, but `last` says where we are. Jobs that are gone are left out.
        """

    # ── asked by workers ──────────────────────────────────────────────────────────────────────

    async def limit(self, queue: str, most: int | None) -> None:
        """No more than `most` jobs of this queue run at a time, over all workers; None: any number.

        What runs already goes on.
        """

    async def claim(
        self,
        worker: str,
        types: Sequence[str],
        limit: int,
        now: float,
        expires_at: float,
        last_chance: bool = True,
        queues: Mapping[str, int] | None = None,
    ) -> list[Claimed]:
        """At most `limit` queued jobs of these types, now running under fresh lease tokens.

        Order: priority (higher first), then run_at, then age. With `last_chance`, one of them may
        be a job that one more crash will quarantine; a worker runs one of those at a time, so
        that the last crash tells the culprit from those that ran beside it.

        `queues` says how many of each queue at most; "*" stands for all others together. None: any.
        Paused queues are passed over.
        """

    async def extend(self, leases: Sequence[Lease], expires_at: float) -> set[str]:
        """The ids of the leases that are still held, now until `expires_at`."""

    async def report(self, reports: Sequence[Report], now: float) -> set[str]:
        """Keeps progress and log lines; the ids of the jobs whose lease is still held."""

    async def cancels(self, worker: str) -> list[Lease]:
        """The leases of this worker whose jobs were asked to stop."""

    async def standing(self, leases: Sequence[Lease]) -> list[Standing]:
        """How each of these leases stands; jobs that are gone are left out."""

    async def settle(
        self, settlements: Sequence[Settlement], now: float, reports: Sequence[Report] = ()
    ) -> set[str]:
        """The ids of the jobs whose verdict was accepted; for all others the lease was lost.

        `reports` are written before, in the same transaction. A job that was asked to stop and
        would wait again is cancelled instead.
        """

    async def saw(self, seen: Sequence[Seen], *, workers_since: float, types_since: float) -> None:
        """Remembers workers elsewhere; what was seen last before those times is forgotten."""

    async def direct(self, names: Sequence[str], directive: Directive) -> set[str]:
        """What these workers are told from now on; the names of those that are known."""

    async def roster(self) -> Roster:
        """The workers elsewhere that have been seen, and the types they asked for."""

    async def in_hand(self) -> dict[str, list[str]]:
        """Worker elsewhere -> the ids of the jobs that it runs."""

    # ── upkeep ────────────────────────────────────────────────────────────────────────────────

    async def promote(self, now: float, limit: int) -> Promoted:
        """Moves at most `limit` due jobs from scheduled to queued."""

    async def expire(self, now: float, limit: int) -> Expired:
        """Cancels (reason `deadline`) at most `limit` waiting jobs whose deadline has passed."""

    async def rescue(self, now: float, limit: int) -> Rescued:
        """Takes at most `limit` jobs from leases that ran out, or whose process is known dead.

        Their attempt is given back and a crash is counted instead; too many crashes quarantine
        the job (failed, reason `poison`), so that it cannot kill workers for ever. One that was
        asked to stop is cancelled.
        """

    async def prune(
        self, cutoffs: Sequence[tuple[str | None, State, float]], now: float, limit: int
    ) -> int:
        """Removes at most `limit` finished jobs whose time is up; how many it was.

        `cutoffs` has, for (type or None for all other types, state), when they must have
        finished. Expired idempotency keys and old changes go as well, and the file shrinks.
        """

    async def add_token(self, token: Token) -> None:
        """Whoever has what it is the hash of may come in, from now on."""

    async def remove_token(self, id: str) -> bool:
        """False: there is none with this id."""

    async def tokens(self) -> list[Token]:
        """All of them, expired ones too, by age."""

    async def check_writable(self) -> None:
        """Proves that a transaction can be committed; raises what stands against it."""

    def close(self) -> None:
        """No further calls; what waits is still answered, then `run` returns."""

    def pulse(self) -> Pulse:
        """For the heartbeat thread. Blocks; call it there."""
