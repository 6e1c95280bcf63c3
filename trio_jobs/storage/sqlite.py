"""The SQLite store: one file, one writer that commits in groups, readers beside it."""

from collections.abc import Sequence
from pathlib import Path

import trio

from ..metrics import Metrics
from .doorbell import CANCELS, CHANGES, JOBS
from .file import SqliteFile
from .grouped import GroupedStore
from .neighbours import Neighbours
from .threads import RunSync, in_thread
from .write import Callback, Committed, Write


class SqliteStore(GroupedStore):
    """See `storage.base.Store` for what the verbs promise.

    A `visitor` comes for a call or two, also while a service has the file (see SqliteFile).
    """

    def __init__(
        self,
        path: Path,
        *,
        durable: bool = True,
        shared: bool = False,
        visitor: bool = False,
        callback: Callback | None = None,
        run_sync: RunSync = in_thread,
        metrics: Metrics | None = None,
    ) -> None:
        self.file = SqliteFile(
            path, durable=durable, shared=shared, visitor=visitor, callback=callback
        )
        super().__init__(self.file, run_sync=run_sync, metrics=metrics)
        bells = {JOBS: self.doorbell, CANCELS: self.cancels_bell, CHANGES: self.changes_bell}
        self._neighbours = Neighbours(path, {} if visitor else bells, loud=shared or visitor)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(super().run)
            await nursery.start(self._neighbours.run)
            task_status.started()
            await self._closed.wait()
            self._neighbours.flush()
            nursery.cancel_scope.cancel()

    def _committed(self, writes: Sequence[Write], committed: Committed) -> None:
        super()._committed(writes, committed)
        made = JOBS if committed.callbacks else ""
        self._neighbours.ring(made + "".join({type(write).rings for write in writes}))
