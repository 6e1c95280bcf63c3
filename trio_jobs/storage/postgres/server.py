"""One PostgreSQL database in use: five connections, and what is done on them. All of it blocks."""

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from ...errors import StoreError, Unavailable, Uncertain
from ..backend import Query
from ..base import Pulse
from ..records import Job
from ..wishes import Filter
from ..write import Callback, Committed, Write, as_json, perform
from .clock import DatabaseClock
from .failures import Again, Lost, jitter
from .line import PATIENCE, Line, value
from .pulse import PostgresPulse
from .schema import install, is_current, migrate, version
from .session import PostgresSession
from .statements import Statements
from .watchdog import Watchdog

log = logging.getLogger(__name__)

T = TypeVar("T")
SHARDS = 16
TRIES = 5  # of a transaction that others were in the way of
LONGEST = 9.0  # seconds that any call may take
ROWS = 4_000.0  # … it may take a second longer for each so many
SEARCH = 8.0
MIGRATION = 300.0  # a new index on many jobs takes its time


class PostgresServer:
    """See `storage.backend.Backend`. A `visitor` makes no database and may not work."""

    def __init__(
        self, url: str, *, durable: bool, visitor: bool, callback: Callback | None
    ) -> None:
        self.watchdog = Watchdog()
        self.statements = Statements()
        self.clock = DatabaseClock()
        self.identity = "process-" + secrets.token_hex(8)
        self.url = url
        self._durable = durable
        self._visitor = visitor
        self._callback = callback
        self._shard = 2 * secrets.randbelow(SHARDS // 2)
        self._writer, self._settler = self.line(), self.line()
        self._batch_reader, self._reader, self._searcher = (self.line() for _ in range(3))

    def line(self) -> Line:
        """Another connection, not opened yet."""
        return Line(self.url, self.watchdog)

    def open(self) -> None:
        """Raises SchemaMismatch, StoreError."""
        self.watchdog.start()
        try:
            with self._writer.used():
                current = is_current(self._writer, self.statements)
            with self._writer.used(PATIENCE if current else MIGRATION):
                self._bring_up()
                self._check_durability()
                for _ in range(3):
                    self._measure_clock()
        except Unavailable as error:
            self.close()
            raise StoreError(str(error)) from error
        except Lost as error:
            self.close()
            raise StoreError(f"the database went away: {error}") from error
        except Again as error:
            self.close()
            raise error.refusal from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        readers = (self._batch_reader, self._reader, self._searcher)
        for line in (self._writer, self._settler, *readers):
            line.close()
        self.watchdog.stop()

    def _bring_up(self) -> None:
        if self._visitor and not version(self._writer, self.statements):
            raise StoreError("there are no tables of trio_jobs in this database")
        migrate(self._writer, self.statements)
        install(self._writer, self.statements)

    def _check_durability(self) -> None:
        if not self._durable:
            return
        self._writer.execute(self.statements.sql("begin"))
        kept = value(self._writer.execute(b"show synchronous_commit"))
        self._writer.execute(b"commit")
        if kept != "on":
            raise StoreError(f"PostgreSQL refused synchronous_commit=on: it is {kept}")
        if value(self._writer.execute(b"show fsync")) != "on":
            log.warning("this PostgreSQL runs with fsync=off: a power cut may cost all its data")

    def _measure_clock(self) -> None:
        start = time.monotonic()
        shown = value(self._writer.execute(self.statements.sql("clock")))
        self.clock.measured(start, shown, time.monotonic())

    # ── writes ────────────────────────────────────────────────────────────────────────────────

    def transact(self, writes: Sequence[Write]) -> Committed:
        return self._transact(writes, self._writer, self._shard)

    def settle(self, writes: Sequence[Write]) -> Committed:
        """`transact` on a connection of its own, at the same time."""
        return self._transact(writes, self._settler, self._shard + 1)

    def _transact(self, writes: Sequence[Write], line: Line, shard: int) -> Committed:
        patience = min(LONGEST, PATIENCE + sum(write.weight for write in writes) / ROWS)
        return _repeated(lambda: self._try(writes, line, shard, patience), line)

    def _try(self, writes: Sequence[Write], line: Line, shard: int, patience: float) -> Committed:
        start = time.perf_counter()
        session: PostgresSession | None = None
        try:
            with line.used(patience):
                session = PostgresSession(line, self.statements, durable=self._durable, shard=shard)
                answers, ended, callbacks = perform(session, writes, self._callback)
                session.commit()
        except (Lost, Unavailable) as error:
            line.roll_back()
            if session is not None and session.is_committing:
                raise Uncertain(
                    f"the connection was lost while committing: this may or may not be stored "
                    f"({error})"
                ) from error
            raise
        except BaseException:
            line.roll_back()
            raise
        seconds = time.perf_counter() - start
        return Committed(answers, ended, callbacks, seconds, session.moves, session.told)

    # ── reads ─────────────────────────────────────────────────────────────────────────────────

    def read_values(self, queries: Sequence[Query]) -> list[Any]:
        return self._values(self._reader, queries, PATIENCE)

    def search(self, queries: Sequence[Query]) -> list[Any]:
        return self._values(self._searcher, queries, SEARCH)

    def read_jobs(self, requests: Sequence[Sequence[str]]) -> list[dict[str, Job]]:
        ids = list({id_ for request in requests for id_ in request})
        [text] = self._values(self._batch_reader, [("get_jobs", (as_json(ids),))], PATIENCE)
        jobs = {job.id: job for job in msgspec.json.decode(text, type=list[Job])}
        return [{id_: jobs[id_] for id_ in request if id_ in jobs} for request in requests]

    def _values(self, line: Line, queries: Sequence[Query], patience: float) -> list[Any]:
        def read() -> list[Any]:
            try:
                with line.used(patience):
                    (query, args), *more = queries
                    first = line.filled(self.statements.sql(query), args)
                    begin = self.statements.sql("begin_read")
                    found = [value(line.execute(begin + b";" + first))]
                    for query, args in more:
                        found.append(value(line.ask(self.statements.sql(query), args)))
                    line.execute(self.statements.sql("commit"))
            except BaseException:
                line.roll_back()
                raise
            return found

        return _repeated(read, line)

    # ── the rest of a backend ─────────────────────────────────────────────────────────────────

    def living(self) -> set[str]:
        """Nobody: from afar, only a lease tells who has died."""
        return set()

    def matching(self, filter: Filter) -> str:
        """With the paths in the input as arrays."""
        paths = [(path.split("."), text) for path, text in (filter.input or {}).items()]
        states = None if filter.states is None else list(dict.fromkeys(filter.states))
        rest = msgspec.structs.replace(filter, input=None, states=states)
        return as_json({**msgspec.to_builtins(rest), **({"input": paths} if paths else {})})

    def pulse(self) -> Pulse:
        return PostgresPulse(self.line(), self.statements)


def _repeated(work: Callable[[], T], line: Line) -> T:
    """`work`, again where others were in its way; once more where the connection was lost, which
    may have happened long ago: nothing was committed then."""
    lost = False
    for _ in range(TRIES):
        try:
            return work()
        except Again as error:
            refusal: Exception = error.refusal
            time.sleep(jitter(0.001, 0.02))
        except Lost as error:
            refusal = Unavailable(f"the database went away: {error}")
            if lost:
                line.rest()
                break
            lost = True
    raise refusal
