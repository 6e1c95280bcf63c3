"""The SQLite store: one file, one writer that commits in groups, readers beside it."""

from pathlib import Path

from ..metrics import Metrics
from .file import SqliteFile
from .grouped import GroupedStore
from .threads import RunSync, in_thread


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
        run_sync: RunSync = in_thread,
        metrics: Metrics | None = None,
    ) -> None:
        self.file = SqliteFile(path, durable=durable, shared=shared, visitor=visitor)
        super().__init__(self.file, run_sync=run_sync, metrics=metrics)
