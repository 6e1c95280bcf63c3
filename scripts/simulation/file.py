"""The database file, read behind the service's back."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from trio_jobs.storage.queries import load

ROWS = """select id, seq, state, reason, attempt, crashes, queue, type, unique_key, lease_token,
  lease_expires_at, worker, version, tags ->> 0 from jobs order by seq"""
CHANGES = "select id, seq, event, reason from changes where id > ? order by id"
COUNTS = "select queue, state, n from counts where n <> 0"
ATTEMPTS = load("sqlite.sql")["attempts"]
RESULT = "select body from results where seq = ?"


class Row(NamedTuple):
    """A job, as it is in the file."""

    id: str
    seq: int
    state: str
    reason: str | None
    attempt: int
    crashes: int
    queue: str
    type: str
    unique_key: str | None
    token: int | None
    expires_at: float | None
    worker: str | None
    version: int
    tag: str


class File:
    """A connection that only reads."""

    def __init__(self, path: Path) -> None:
        self._db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)

    def close(self) -> None:
        self._db.close()

    def rows(self) -> dict[str, Row]:
        """All jobs by id, oldest first."""
        return {row[0]: Row(*row) for row in self._db.execute(ROWS)}

    def changes(self, after: int) -> Iterable[tuple[Any, ...]]:
        """Number, seq, event and reason of each."""
        return self._db.execute(CHANGES, (after,))

    def counts(self) -> dict[tuple[str, str], int]:
        """By queue and state."""
        return {(queue, state): n for queue, state, n in self._db.execute(COUNTS)}

    def attempts(self, id_: str) -> list[tuple[int, str]]:
        """Number and worker of each."""
        rows = json.loads(self._db.execute(ATTEMPTS, (id_,)).get)
        return [(attempt, worker) for attempt, _, _, worker, *_ in rows]

    def result(self, seq: int) -> int:
        return int(self._db.execute(RESULT, (seq,)).get)
