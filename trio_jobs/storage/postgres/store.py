"""The PostgreSQL store: one database for any number of processes on any number of machines.

As on SQLite, a process writes in groups: whatever waits goes into one transaction, on one
connection. When many jobs end at once, their verdicts go on a second one beside it. Three read, one
listens, and the heartbeat has its own: seven in all.

*Times* are the caller's, as everywhere (`storage.base`); but `now()` is the clock of the database,
and whoever runs on this store takes it for theirs. Then no machine's clock matters.

*Errors.* A connection that is lost before COMMIT was sent is Unavailable (after one more try on a
fresh one), after that Uncertain: the caller asks again, with its idempotency key. A server that
restarts, or hangs, does not end the process. Nobody waits longer than 3 s for one that hangs.

*Poolers.* Nothing is left in a session, so PgBouncer may give each transaction another one.
Listening alone needs a session of its own; through a pooler it hears nothing, and polls serve
instead.
"""

from collections.abc import Sequence
from typing import Any, cast

import trio

from ...job import State
from ...metrics import Metrics
from ..batcher import Batcher
from ..doorbell import CANCELS, CHANGES, JOBS
from ..grouped import GroupedStore
from ..records import Claimed, Report, Settlement
from ..threads import RunSync, in_thread
from ..wishes import Moved
from ..write import Callback, Committed, Write
from ..writes import Claim, Limit, Pause, Settle
from .listener import Listener
from .server import PostgresServer

MANY = 48


class PostgresStore(GroupedStore):
    """See `storage.base.Store` for what the verbs promise. Needs the extra `postgres`.

    A `visitor` comes for a call or two and listens to nobody; neither does a store with `listen`
    off, which is for tests in virtual time.
    """

    def __init__(
        self,
        url: str,
        *,
        durable: bool = True,
        visitor: bool = False,
        callback: Callback | None = None,
        listen: bool = True,
        run_sync: RunSync = in_thread,
        metrics: Metrics | None = None,
    ) -> None:
        self.server = PostgresServer(url, durable=durable, visitor=visitor, callback=callback)
        super().__init__(self.server, run_sync=run_sync, metrics=metrics)
        self._listen = listen and not visitor
        self._listener = Listener(self.server, run_sync, self._ring)
        self._settles = Batcher[Write](self._commit_settles, weight=lambda write: write.weight)
        self._reports = 0  # under way
        self._limited: set[str] = set()  # queues that are known to have a limit

    def now(self) -> float:
        return self.server.clock.now()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(super().run)
            if self._listen:
                nursery.start_soon(self._listener.run)
            task_status.started()
            await self._closed.wait()
            nursery.cancel_scope.cancel()

    async def cancel(self, ids: Sequence[str], now: float) -> dict[str, Moved]:
        moved = await super().cancel(ids, now)
        if any(move.state is State.RUNNING for move in moved.values()):
            self._listener.tell(CANCELS)
        return moved

    async def report(self, reports: Sequence[Report], now: float) -> set[str]:
        self._reports += 1
        try:
            return await super().report(reports, now)
        finally:
            self._reports -= 1

    async def settle(
        self, settlements: Sequence[Settlement], now: float, reports: Sequence[Report] = ()
    ) -> set[str]:
        """Many at a time go on a connection of their own, beside the claim for the slots that they
        leave: 26,000 no-op jobs/s with 256 slots, instead of 20,000. Few ride with whatever else is
        written, and so do many while reports are on their way, which must not come after the end.
        """
        if len(settlements) < MANY or self._reports:
            return await super().settle(settlements, now, reports)
        settled = await self._settles(Settle(settlements, now, reports))
        return cast("set[str]", settled)

    async def _commit_settles(self, writes: Sequence[Write]) -> Sequence[object]:
        committed = await self._run_sync(self.server.settle, writes)
        self._committed(writes, committed)
        return committed.answers

    def _batchers(self) -> list[Batcher[Any]]:
        return [*super()._batchers(), self._settles]

    def _committed(self, writes: Sequence[Write], committed: Committed) -> None:
        super()._committed(writes, committed)
        self._tell(writes, committed)

    def _tell(self, writes: Sequence[Write], committed: Committed) -> None:
        """Others may have something to do now."""
        news = CHANGES if committed.told else ""
        for write, answer in zip(writes, committed.answers, strict=True):
            if isinstance(write, Claim):
                claimed = cast("list[Claimed]", answer)
                self._limited.update(job.queue for job in claimed if job.is_limited)
            elif isinstance(write, (Limit, Pause)):
                news += JOBS
        if any(
            state == State.QUEUED or (was == State.RUNNING and queue in self._limited)
            for queue, _, _, was, state, _ in committed.moves
        ):
            news += JOBS
        self._listener.tell(news)

    def _ring(self, news: str) -> None:
        if JOBS in news:
            self.doorbell.ring()
        if CANCELS in news:
            self.cancels_bell.ring()
        if CHANGES in news:
            self.changes_bell.ring()
