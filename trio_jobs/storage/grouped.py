"""What every store that commits in groups has in common: batches of writes and of reads, and which
verb asks the backend for what.

All blocking work goes through `run_sync`, which has the signature of `trio.to_thread.run_sync`
(with the limiter bound); tests pass one that runs the call in place, so that virtual time works.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import msgspec
import trio

from .. import clock
from ..job import State
from ..metrics import Metrics
from .backend import Backend, Query
from .base import Pulse
from .batcher import Batcher
from .doorbell import Doorbell
from .enqueue import Enqueue
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
from .remote import Directive, RemoteWorker, Roster, Seen, Standing
from .remote_writes import Direct, Saw
from .tally import tally
from .threads import RunSync
from .tokens import Token
from .watching import AttemptRecord, Change, Changes, QueueInfo
from .wishes import Amendment, Filter, Moved, Scan
from .write import AnswerTooLarge, Committed, Write, as_json
from .writes import (
    AddToken,
    Claim,
    Expire,
    Extend,
    Limit,
    Pause,
    Promote,
    Prune,
    RemoveToken,
    Rescue,
    Settle,
    Tell,
    Touch,
    Wish,
)

SCANNED = 10_000
"""Jobs that one step of a scan looks at: some milliseconds."""


class GroupedStore:
    """See `storage.base.Store` for what the verbs promise."""

    def __init__(
        self, backend: Backend, *, run_sync: RunSync, metrics: Metrics | None = None
    ) -> None:
        self._backend = backend
        self._run_sync = run_sync
        self._metrics = metrics or Metrics()
        self._writes = Batcher[Write](
            self._commit,
            patience=lambda write: write.patience,
            weight=lambda write: write.weight,
            may_be_refused=lambda write: isinstance(write, Enqueue),
        )
        self._reads = Batcher[Sequence[str]](partial(run_sync, backend.read_jobs))
        self._queries = Batcher[Query](partial(run_sync, backend.read_values))
        # Apart: a search among a million may take half a second, and workers wait for the others.
        self._searches = Batcher[Query](partial(run_sync, backend.search))
        self.doorbell = Doorbell()
        self.cancels_bell = Doorbell()
        self.changes_bell = Doorbell()
        self._closed = trio.Event()

    def now(self) -> float:
        """What time it is, for all who ask this store."""
        return clock.now()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Opens the database and serves until `close`; then closes it.

        Raises StoreLocked, SchemaMismatch or StoreError when it cannot be opened, StoreBroken
        when it fails in service.
        """
        await self._run_sync(self._backend.open)
        try:
            async with trio.open_nursery() as nursery:
                for batcher in self._batchers():
                    await nursery.start(batcher.run)
                task_status.started()
        finally:
            with trio.CancelScope(shield=True):
                await self._run_sync(self._backend.close)
            self._closed.set()

    def _batchers(self) -> "list[Batcher[Any]]":
        return [self._writes, self._reads, self._queries, self._searches]

    def close(self) -> None:
        for batcher in self._batchers():
            batcher.close()

    @property
    def identity(self) -> str:
        return self._backend.identity

    # ── verbs that write ──────────────────────────────────────────────────────────────────────

    async def _commit(self, writes: Sequence[Write]) -> Sequence[object]:
        committed = await self._run_sync(self._transact, writes)
        self._committed(writes, committed)
        return committed.answers

    def _committed(self, writes: Sequence[Write], committed: Committed) -> None:
        self.changes_bell.ring()
        if committed.callbacks:
            self.doorbell.ring()
        tally(self._metrics, writes, committed)

    async def enqueue(self, jobs: Sequence[NewJob], key: Key | None = None) -> Enqueued:
        # Rung when submitted, not when done: the claim that answers it then lands in the same
        # transaction, and an idle system starts a job one commit after its POST.
        self.doorbell.ring()
        return cast(Enqueued, await self._writes(Enqueue(jobs, key)))

    async def cancel(self, ids: Sequence[str], now: float) -> dict[str, Moved]:
        moved = await self._wish("do_cancel", as_json(ids), now)
        if any(move.state is State.RUNNING for move in moved.values()):
            self.cancels_bell.ring()
        return moved

    async def retry(self, ids: Sequence[str], now: float) -> dict[str, Moved]:
        self.doorbell.ring()
        return await self._wish("do_retry", as_json(ids), now)

    async def amend(self, amendments: Sequence[Amendment], now: float) -> dict[str, Moved]:
        self.doorbell.ring()
        last = {amendment.id: amendment for amendment in amendments}
        return await self._wish("do_amend", as_json(list(last.values())), now)

    async def remove(self, ids: Sequence[str]) -> dict[str, Moved]:
        return await self._wish("do_remove", as_json(ids))

    async def _wish(self, procedure: str, *args: Any) -> dict[str, Moved]:
        return cast("dict[str, Moved]", await self._writes(Wish(procedure, args)))

    async def pause(self, queue: str, now: float) -> None:
        await self._writes(Pause(queue, now))

    async def resume(self, queue: str) -> None:
        self.doorbell.ring()
        await self._writes(Pause(queue, None))

    async def limit(self, queue: str, most: int | None) -> None:
        await self._writes(Limit(queue, most))
        self.doorbell.ring()

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
        while True:
            try:
                claim = Claim(worker, types, limit, now, expires_at, last_chance, queues)
                return cast("list[Claimed]", await self._writes(claim))
            except AnswerTooLarge:
                if limit == 1:
                    raise
                limit //= 2

    async def extend(self, leases: Sequence[Lease], expires_at: float) -> set[str]:
        return cast("set[str]", await self._writes(Extend(leases, expires_at)))

    async def report(self, reports: Sequence[Report], now: float) -> set[str]:
        return cast("set[str]", await self._writes(Tell(reports, now)))

    async def settle(
        self, settlements: Sequence[Settlement], now: float, reports: Sequence[Report] = ()
    ) -> set[str]:
        return cast("set[str]", await self._writes(Settle(settlements, now, reports)))

    async def promote(self, now: float, limit: int) -> Promoted:
        next_due = await self._read("next_due")
        if next_due is None or next_due > now:
            return Promoted(0, next_due)
        promoted = cast(Promoted, await self._writes(Promote(now, limit)))
        self.doorbell.ring()
        return promoted

    async def expire(self, now: float, limit: int) -> Expired:
        next_deadline = await self._read("next_deadline")
        if next_deadline is None or next_deadline > now:
            return Expired(0, next_deadline)
        return cast(Expired, await self._writes(Expire(now, limit)))

    async def prune(
        self, cutoffs: Sequence[tuple[str | None, State, float]], now: float, limit: int
    ) -> int:
        found = await self._read("prunable", as_json(cutoffs), limit, now)
        return cast(int, await self._writes(Prune(found, now)))

    async def rescue(self, now: float, limit: int) -> Rescued:
        rescued = cast(Rescued, await self._writes(Rescue(now, self._backend.living, limit)))
        if rescued.requeued:
            self.doorbell.ring()
        return rescued

    async def saw(self, seen: Sequence[Seen], *, workers_since: float, types_since: float) -> None:
        await self._writes(Saw(seen, workers_since, types_since))

    async def direct(self, names: Sequence[str], directive: Directive) -> set[str]:
        return cast("set[str]", await self._writes(Direct(names, directive)))

    async def add_token(self, token: Token) -> None:
        await self._writes(AddToken(token))

    async def remove_token(self, id: str) -> bool:
        return cast(bool, await self._writes(RemoveToken(id)))

    async def check_writable(self) -> None:
        await self._writes(Touch())

    # ── verbs that read ───────────────────────────────────────────────────────────────────────

    async def get(self, ids: Sequence[str]) -> dict[str, Job]:
        return cast("dict[str, Job]", await self._reads(ids))

    async def list_jobs(self, filter: Filter, *, before: int | None, limit: int) -> Page:
        if filter.states is not None:
            query = "list_jobs_by_state"
        elif filter.types is not None and len(filter.types) == 1:
            query = "list_jobs_by_type"
        else:
            query = "list_jobs"
        start = 2**63 - 1 if before is None else before
        text = await self._search(query, self._backend.matching(filter), start, limit)
        rows = msgspec.json.decode(text, type=list[tuple[int, Job]])
        full = bool(rows) and len(rows) == limit
        return Page([job for _, job in rows], rows[-1][0] if full else None)

    async def scan(self, filter: Filter, after: int, limit: int) -> Scan:
        text = await self._search("scan", self._backend.matching(filter), after, limit, SCANNED)
        rows, end = msgspec.json.decode(text, type=tuple[list[tuple[int, str]], int])
        next_ = rows[-1][0] if rows and len(rows) == limit else after + SCANNED
        return Scan([id_ for _, id_ in rows], None if next_ >= end else next_, end)

    async def attempts(self, id: str) -> list[AttemptRecord]:
        return msgspec.json.decode(await self._read("attempts", id), type=list[AttemptRecord])

    async def logs(self, id: str, after: int, limit: int) -> list[LogLine]:
        text = await self._read("logs", id, after, limit)
        return msgspec.json.decode(text, type=list[LogLine])

    async def ahead(self, id: str, limit: int) -> int:
        return cast(int, await self._read("ahead", id, limit))

    async def queues(self) -> list[QueueInfo]:
        return msgspec.json.decode(await self._read("queues"), type=list[QueueInfo])

    async def cancels(self, worker: str) -> list[Lease]:
        return msgspec.json.decode(await self._read("cancels", worker), type=list[Lease])

    async def standing(self, leases: Sequence[Lease]) -> list[Standing]:
        return msgspec.json.decode(
            await self._read("standing", as_json(leases)), type=list[Standing]
        )

    async def roster(self) -> Roster:
        text = await self._read("roster")
        found = msgspec.json.decode(text, type=tuple[list[RemoteWorker], dict[str, float]])
        return Roster(*found)

    async def in_hand(self) -> dict[str, list[str]]:
        hands: dict[str, list[str]] = {}
        text = await self._read("in_hand")
        for worker, id_ in msgspec.json.decode(text, type=list[tuple[str, str]]):
            hands.setdefault(worker, []).append(id_)
        return hands

    async def changes(self, after: int | None, limit: int) -> Changes:
        if after is None:
            return Changes([], await self._read("last_change"), more=False, complete=True)
        text = await self._read("changes", after, limit)
        return Changes(*msgspec.json.decode(text, type=tuple[list[Change], int, bool, bool]))

    async def counts(self) -> Counts:
        text = await self._read("counts")
        counts: Counts = {}
        for queue, state, n in msgspec.json.decode(text, type=list[tuple[str, State, int]]):
            counts.setdefault(queue, {})[state] = n
        return counts

    async def tokens(self) -> list[Token]:
        return msgspec.json.decode(await self._read("tokens"), type=list[Token])

    def pulse(self) -> Pulse:
        return self._backend.pulse()

    async def _read(self, query: str, *args: Any) -> Any:
        return await self._queries((query, args))

    async def _search(self, query: str, *args: Any) -> Any:
        return await self._searches((query, args))

    def _transact(self, writes: Sequence[Write]) -> Committed:
        return self._backend.transact(writes)
