"""A move: all jobs in the order of their numbers, then what has a name; then all of it compared.

Each batch is one transaction, so the target always has the jobs up to some number with everything
that belongs to them, and a move that was killed goes on behind the last.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import StoreError
from .. import is_postgres, postgres_end, sqlite_path
from . import sqlite
from .end import End, Target
from .tables import BY_NAME, JOBS, OF_JOBS, Row, Table

JOBS_AT_ONCE = 1_000
BYTES_AT_ONCE = 8_000_000
"""A batch is in memory; one job alone may be larger."""

Told = Callable[[int, int], None]
"""Gets how many jobs are done, and how many there are."""


@dataclass(slots=True)
class Moved:
    """`rows` of each table are in both; `began_at` jobs were there already."""

    began_at: int = 0
    rows: dict[str, int] = field(default_factory=dict)


def move(from_: str, to: str, *, moved: Told, compared: Told) -> Moved:
    """Copies the database `from_` to `to`, which must be empty or have been begun by this.

    Nothing is changed in `from_`, and nobody else may write to either. Whatever ends it before its
    end, the same call goes on. Raises StoreLocked, MoveRefused, Unavailable, StoreError,
    ConfigError.
    """
    with _source(from_) as source, _target(to, source.identity()) as target:
        result = Moved(began_at=target.count(JOBS))
        total = source.count(JOBS)
        _move_jobs(source, target, lambda done: moved(done, total))
        _move_named(source, target)
        target.settle(source.marks())
        result.rows = compare(source, target, lambda done: compared(done, total))
        target.finish()
        return result


def _source(url: str) -> AbstractContextManager[End]:
    if is_postgres(url):
        source: AbstractContextManager[End] = postgres_end().source(url)
        return source
    return sqlite.source(sqlite_path(url))


def _target(url: str, source: str) -> AbstractContextManager[Target]:
    if is_postgres(url):
        target: AbstractContextManager[Target] = postgres_end().target(url, source)
        return target
    return sqlite.target(Path(sqlite_path(url)), source)


def _move_jobs(source: End, target: Target, told: Callable[[int], None]) -> None:
    done = target.count(JOBS)
    for after, upto, n in _batches(source, target.last_job()):
        target.put({table: source.range(table, after, upto) for table in OF_JOBS})
        done += n
        told(done)


def _move_named(source: End, target: Target) -> None:
    for table in BY_NAME:
        for page in _pages(source, table, target.last_name(table)):
            target.put({table: page})


def _batches(source: End, after: int) -> Iterator[tuple[int, int, int]]:
    """Ranges of numbers, after the one and up to the other, and how many jobs are in each."""
    while weights := source.weights(after, JOBS_AT_ONCE):
        upto, n, bytes_ = after, 0, 0
        for seq, size in weights:
            bytes_ += size
            if n and bytes_ > BYTES_AT_ONCE:
                break
            upto, n = seq, n + 1
        yield after, upto, n
        after = upto


def _pages(source: End, table: Table, after: str) -> Iterator[Sequence[Row]]:
    while page := source.page(table, after, JOBS_AT_ONCE):
        yield page
        after = page[-1][0]


def compare(source: End, target: End, told: Callable[[int], None]) -> dict[str, int]:
    """How many rows of each table there are, after each has been found equal in both.

    Row by row: this says more than sums that agree, and costs no more. Raises StoreError.
    """
    found = dict.fromkeys((table.name for table in (*OF_JOBS, *BY_NAME)), 0)
    for after, upto, _ in _batches(source, 0):
        for table in OF_JOBS:
            rows = source.range(table, after, upto)
            _check(table, rows, target.range(table, after, upto))
            found[table.name] += len(rows)
        told(found[JOBS.name])
    for table in BY_NAME:
        after_name = ""
        for page in _pages(source, table, ""):
            _check(table, page, target.page(table, after_name, len(page)))
            after_name = page[-1][0]
            found[table.name] += len(page)
    for table in (*OF_JOBS, *BY_NAME):
        if target.count(table) != found[table.name]:
            raise _differs(table)
    return found


def _check(table: Table, here: Sequence[Row], there: Sequence[Row]) -> None:
    if table.alike(here) != table.alike(there):
        raise _differs(table)


def _differs(table: Table) -> StoreError:
    return StoreError(
        f"the {table.name} in TO are not those in FROM, which has changed since the move began: "
        "empty TO, and move again"
    )
