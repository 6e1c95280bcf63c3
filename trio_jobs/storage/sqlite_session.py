"""A transaction on a connection to SQLite."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import apsw
import msgspec

from .queries import load
from .write import Callback, Committed, Endings, Write, perform

_SQL = load("sqlite.sql")


class SqliteSession:
    """See `write.Session`."""

    __slots__ = ("_db",)

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def run(self, query: str, *args: Any) -> None:
        for _ in self._db.execute(_SQL[query], args):
            pass

    def value(self, query: str, *args: Any) -> Any:
        return self._db.execute(_SQL[query], args).get

    def call(self, verb: str, *args: Any) -> str:
        """Calls a procedure of sqlite_procedures.sql."""
        self._db.execute(_SQL[verb], args)
        said: str = self._db.execute(_SQL["answer"]).get
        return said

    def ended(self) -> Endings:
        ended = msgspec.json.decode(self.value("ended"), type=Endings)
        if ended.counts:
            self.run("forget_ended")
        if ended.called:
            self.run("forget_called")
        return ended


def transact(
    db: apsw.Connection,
    writes: Sequence[Write],
    check: Callable[[], None],
    callback: Callback | None,
) -> Committed:
    """All of `writes` in one transaction, or none; `check` has the last word before the commit."""
    start = perf_counter()
    db.execute("begin immediate")
    try:
        answers, ended, callbacks = perform(SqliteSession(db), writes, callback)
        check()
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise
    return Committed(answers, ended, callbacks, perf_counter() - start)
