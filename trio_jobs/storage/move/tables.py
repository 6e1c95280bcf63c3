"""What moves: the tables, in one form for both dialects.

A row is a tuple of Python's values in the order of `columns`. Both ends read and write it so, a
body as text or as bytes, a result as part of its job (where SQLite keeps it is its own affair).
What an end rebuilds instead: `counts`, the number of the next job, the history of changes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """`columns[0]` is the key by which it is read. `json` are those that hold JSON: they say the
    same when their values are equal, however they are spelt."""

    name: str
    columns: tuple[str, ...]
    json: frozenset[str] = frozenset()

    def alike(self, rows: Iterable[Row]) -> list[Row]:
        """`rows` as they compare."""
        if not self.json:
            return list(rows)
        places = {self.columns.index(name) for name in self.json}
        return [
            tuple(
                _canonical(cell) if place in places and cell is not None else cell
                for place, cell in enumerate(row)
            )
            for row in rows
        ]


def _canonical(json: str) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(json), order="sorted")


JOBS = Table(
    "jobs",
    (
        *("seq", "id", "type", "queue", "priority", "state", "reason", "attempt", "max_attempts"),
        *("crashes", "timeout", "tags", "version", "created_at", "updated_at", "run_at"),
        *("started_at", "finished_at", "worker", "lease_token", "lease_expires_at", "deadline"),
        *("backoff", "unique_key", "unique_until", "cancel_requested_at", "progress"),
        "settled_under",
        *("result_text", "result_raw", "result_content_type"),
    ),
    json=frozenset({"tags", "backoff", "progress"}),
)
PAYLOADS = Table(
    "payloads",
    ("seq", "text", "raw", "content_type", "params", "traceparent"),
    json=frozenset({"params"}),
)
# Their ids are about nothing but their order, and are given anew.
ATTEMPTS = Table(
    "attempts",
    (
        *("seq", "attempt", "started_at", "finished_at", "worker", "outcome"),
        *("error_type", "error_message", "error_traceback", "settled_under"),
    ),
)
LOGS = Table("logs", ("seq", "n", "attempt", "at", "level", "message"))
SAVES = Table("saves", ("seq", "body"))
CALLBACKS = Table("callbacks", ("seq", "url"))

OF_JOBS = (JOBS, PAYLOADS, ATTEMPTS, LOGS, SAVES, CALLBACKS)
"""Read by ranges of `seq`, the order of the jobs."""

BY_NAME = (
    Table(
        "idempotency_keys",
        ("key", "fingerprint", "jobs", "expires_at"),
        json=frozenset({"jobs"}),
    ),
    Table("queues", ("name", "paused_at", "most")),
    Table(
        "tokens",
        ("id", "hash", "name", "scopes", "types", "queues", "created_at", "expires_at"),
        json=frozenset({"scopes", "types", "queues"}),
    ),
    Table(
        "remote_workers",
        ("name", "types", "queues", "seen_at", "directive"),
        json=frozenset({"types", "queues"}),
    ),
    Table("remote_types", ("type", "seen_at")),
)
"""Read in the order of their texts, byte by byte."""

ALL = (*OF_JOBS, *BY_NAME)
