"""The SQLite store: one file, one writer that commits in groups, readers beside it.

All blocking work goes through `run_sync`, which has the signature of `trio.to_thread.run_sync`
(with the limiter bound); tests pass one that runs the call in place, so that virtual time works.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import apsw
import msgspec
import trio

from ..errors import StoreBroken, StoreError
from ..job import State
from .base import Pulse
from .batcher import Batcher
from .connection import open_pulse, open_reader, open_writer, translated
from .doorbell import Doorbell
from .presence import Presence
from .queries import load
from .records import Claimed, Counts, Job, Lease, NewJob, Page, Promoted, Rescued, Settlement
from .writes import Claim, Enqueue, Extend, Promote, Rescue, Settle, Touch, Write, extend, transact

_SQL = load("sqlite.sql")
T = TypeVar("T")


class RunSync(Protocol):
    """Runs a blocking call, in a thread or (in tests) in place."""

    def __call__(self, call: Callable[..., T], *args: Any) -> Awaitable[T]: ...


class _Unlimited:
    """A limiter for `trio.to_thread` that lets everyone through, in the same turn of the loop.

    The store never runs more than three calls at a time (a batch of writes, a batch of reads, one
    other read), so there is nothing to limit; jobs take their threads from a limiter of their own.
    A CapacityLimiter gives up the turn even when it is free: 20 µs, and the batch would leave only
    after all those that the last one answered have run.
    """

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        pass

    def release_on_behalf_of(self, borrower: object) -> None:
        pass


def in_thread(call: Callable[..., T], *args: Any) -> Awaitable[T]:
    """The RunSync of a store in service."""
    return trio.to_thread.run_sync(call, *args, limiter=cast(trio.CapacityLimiter, _Unlimited()))


class SqliteStore:
    """See `storage.base.Store` for what the verbs promise."""

    def __init__(
        self,
        path: Path,
        *,
        durable: bool = True,
        shared: bool = False,
        run_sync: RunSync = in_thread,
    ) -> None:
        self._path = path
        self._durable = durable
        self._shared = shared
        self._run_sync = run_sync
        self._writes = Batcher[Write](
            partial(run_sync, self._transact),
            patience=lambda write: write.patience,
            weight=lambda write: write.weight,
        )
        self._reads = Batcher[Sequence[str]](partial(run_sync, self._read_jobs))
        self._queries = Batcher[tuple[str, tuple[Any, ...]]](partial(run_sync, self._read_values))
        self.doorbell = Doorbell()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Opens the file and serves until `close`; then checkpoints and closes it.

        Raises StoreLocked, SchemaMismatch or StoreError when it cannot be opened, StoreBroken
        when it fails in service.
        """
        await self._run_sync(self._open)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._writes.run)
                await nursery.start(self._reads.run)
                await nursery.start(self._queries.run)
                task_status.started()
        finally:
            with trio.CancelScope(shield=True):
                await self._run_sync(self._close)

    def close(self) -> None:
        self._writes.close()
        self._reads.close()
        self._queries.close()

    @property
    def identity(self) -> str:
        return self._presence.identity

    # ── verbs that write ──────────────────────────────────────────────────────────────────────

    async def enqueue(self, jobs: Sequence[NewJob]) -> None:
        # Rung when submitted, not when done: the claim that answers it then lands in the same
        # transaction, and an idle system starts a job one commit after its POST.
        self.doorbell.ring()
        await self._writes(Enqueue(jobs))

    async def claim(
        self,
        worker: str,
        types: Sequence[str],
        limit: int,
        now: float,
        expires_at: float,
        last_chance: bool = True,
    ) -> list[Claimed]:
        while True:
            try:
                claim = Claim(worker, types, limit, now, expires_at, last_chance)
                return cast("list[Claimed]", await self._writes(claim))
            except apsw.TooBigError:
                # Their payloads together exceed what SQLite puts into one answer (10^9 bytes).
                if limit == 1:
                    raise
                limit //= 2

    async def extend(self, leases: Sequence[Lease], expires_at: float) -> set[str]:
        return cast("set[str]", await self._writes(Extend(leases, expires_at)))

    async def settle(self, settlements: Sequence[Settlement], now: float) -> set[str]:
        return cast("set[str]", await self._writes(Settle(settlements, now)))

    async def promote(self, now: float, limit: int) -> Promoted:
        next_due = await self._read("next_due")
        if next_due is None or next_due > now:
            return Promoted(0, next_due)
        promoted = cast(Promoted, await self._writes(Promote(now, limit)))
        self.doorbell.ring()
        return promoted

    async def rescue(self, now: float, limit: int) -> Rescued:
        rescued = cast(Rescued, await self._writes(Rescue(now, self._presence.living, limit)))
        if rescued.requeued:
            self.doorbell.ring()
        return rescued

    async def check_writable(self) -> None:
        await self._writes(Touch())

    # ── verbs that read ───────────────────────────────────────────────────────────────────────

    async def get(self, ids: Sequence[str]) -> dict[str, Job]:
        return cast("dict[str, Job]", await self._reads(ids))

    async def list_jobs(
        self, *, states: Sequence[State], type: str | None, before: int | None, limit: int
    ) -> Page:
        args: tuple[Any, ...] = (
            msgspec.json.encode(states).decode(),
            2**63 - 1 if before is None else before,
            limit,
        )
        if type is None:
            text = await self._read("list_jobs", *args)
        else:
            text = await self._read("list_jobs_of_type", *args, type)
        rows = msgspec.json.decode(text, type=list[tuple[int, Job]])
        return Page([job for _, job in rows], rows[-1][0] if len(rows) == limit else None)

    async def counts(self) -> Counts:
        text = await self._read("counts")
        counts: Counts = {}
        for queue, state, n in msgspec.json.decode(text, type=list[tuple[str, State, int]]):
            counts.setdefault(queue, {})[state] = n
        return counts

    def pulse(self) -> Pulse:
        return SqlitePulse(open_pulse(self._path))

    async def _read(self, query: str, *args: Any) -> Any:
        return await self._queries((query, args))

    # ── in threads ────────────────────────────────────────────────────────────────────────────

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._presence = Presence(self._path, shared=self._shared)
        except OSError as error:
            raise StoreError(f"the database cannot be opened: {error}") from error
        try:
            self._writer = open_writer(self._path, durable=self._durable)
            found = self._path.stat()
            self._file = found.st_dev, found.st_ino
            self._batch_reader = open_reader(self._path)
            self._reader = open_reader(self._path)
        except BaseException:
            self._presence.leave()
            raise

    def _close(self) -> None:
        self._reader.close()
        self._batch_reader.close()
        self._writer.close()  # the last connection checkpoints and removes the WAL
        self._presence.leave()

    def _read_values(self, queries: Sequence[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        with translated():
            return [self._reader.execute(_SQL[query], args).get for query, args in queries]

    def _read_jobs(self, requests: Sequence[Sequence[str]]) -> list[dict[str, Job]]:
        """For each list of ids, the jobs that exist."""
        ids = list({id_ for request in requests for id_ in request})
        with translated():
            query = _SQL["get_jobs"], (msgspec.json.encode(ids).decode(),)
            text = self._batch_reader.execute(*query).get
        jobs = {job.id: job for job in msgspec.json.decode(text, type=list[Job])}
        return [{id_: jobs[id_] for id_ in request if id_ in jobs} for request in requests]

    def _transact(self, writes: Sequence[Write]) -> list[Any]:
        with translated():
            return transact(self._writer, writes, self._check_file)

    def _check_file(self) -> None:
        """Before each commit: SQLite writes on happily to a file that nobody will find again."""
        try:
            found = self._path.stat()
        except OSError as error:
            raise StoreBroken(f"{self._path} is gone: {error}") from error
        if (found.st_dev, found.st_ino) != self._file:
            raise StoreBroken(f"{self._path} has been replaced by another file")


class SqlitePulse:
    """The heartbeat's own connection; see `storage.base.Pulse`."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def extend(self, leases: Sequence[Lease], expires_at: float) -> set[str]:
        with translated():
            self._db.execute("begin immediate")
            try:
                held = extend(self._db, leases, expires_at)
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise
        return held

    def close(self) -> None:
        self._db.close()
