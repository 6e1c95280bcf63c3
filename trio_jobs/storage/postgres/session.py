"""A transaction on a connection to PostgreSQL."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg.pq.abc import PGresult

from ..records import Job
from ..write import Endings, Move, as_json
from .line import Line, value
from .statements import Statements

FINAL = {"done", "failed", "cancelled"}


class PostgresSession:
    """See `write.Session`. It begins in the round trip of the first query; `commit` ends it.

    What the verbs have moved is counted at the end, in one statement, so that nobody waits for the
    counters' rows but for the time of a commit. `counted` is what happened, then.
    """

    def __init__(self, line: Line, statements: Statements, *, durable: bool, shard: int) -> None:
        self._line = line
        self._statements = statements
        self._shard = shard
        self._ended: Counter[tuple[str, str, str]] = Counter()
        self._called: list[Job] = []
        self.moves: list[Move] = []
        self.told = 0
        self.is_committing = False
        self._begin: bytes | None = statements.sql("begin" if durable else "begin_relaxed")

    def run(self, query: str, *args: Any) -> None:
        if query.startswith("do_"):
            self.call(query, *args)
        else:
            self._ask(query, args)

    def value(self, query: str, *args: Any) -> Any:
        return value(self._ask(query, args))

    def call(self, verb: str, *args: Any) -> str:
        """Calls a function of postgres_procedures.sql."""
        reply = self._ask(verb, (*args, self.told))
        said: str = value(reply)
        self.told += value(reply, 1)
        moves = msgspec.json.decode(value(reply, 2), type=list[Move])
        for queue, _, type_, _, state, n in moves:
            if type_ is not None and state in FINAL:
                self._ended[queue, type_, state] += n
        self.moves += moves
        if (calls := value(reply, 3)) is not None:
            # At once: a later verb may queue such a job again, or remove it.
            self._called += msgspec.json.decode(self.value("called", calls), type=list[Job])
        return said

    def ended(self) -> Endings:
        ended = Endings([(*kind, n) for kind, n in self._ended.items()], self._called)
        self._ended.clear()
        self._called = []
        return ended

    def commit(self) -> None:
        commit = self._statements.sql("commit")
        if counts := _differences(self.moves):
            # In one round trip: the rows of the counters are locked for as short as can be.
            count = self._line.filled(self._statements.sql("count"), (as_json(counts), self._shard))
            commit = count + b";" + commit
        self.is_committing = True
        self._line.execute(commit)

    def _ask(self, query: str, args: Sequence[Any]) -> PGresult:
        sql = self._statements.sql(query)
        if self._begin is None:
            return self._line.ask(sql, args)
        begin, self._begin = self._begin, None
        return self._line.execute(begin + b";" + self._line.filled(sql, args))


def _differences(moves: list[Move]) -> list[tuple[str, str, int]]:
    """What the moves add to each counter, zeros left out."""
    counts: Counter[tuple[str, str]] = Counter()
    for queue, to_queue, _, was, state, n in moves:
        if was is not None:
            counts[queue, was] -= n
        if state is not None:
            counts[to_queue or queue, state] += n
    return [(queue, state, n) for (queue, state), n in counts.items() if n]
