"""A PostgreSQL database looked at, or brought up to date, by a command. All of it blocks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ...errors import StoreError
from ..migrations import migrations
from .failures import Lost
from .line import Line, value
from .schema import install, migrate, version
from .server import MIGRATION
from .statements import Statements
from .watchdog import Watchdog


class Standing(NamedTuple):
    """`schema` is its newest migration, 0 when it has none; `now` is what its clock shows."""

    server: str
    schema: int
    fsync: bool
    now: float


def bring_up(url: str) -> int:
    """Creates the tables, or brings them up to date; the newest migration then.

    Raises StoreError, Unavailable.
    """
    statements = Statements()
    with _opened(url) as line:
        migrate(line, statements)
        install(line, statements)
        return version(line, statements)


def standing(url: str) -> Standing:
    """Nothing is changed. Raises StoreError, Unavailable."""
    statements = Statements()
    with _opened(url) as line:
        return Standing(
            server=value(line.execute(b"show server_version")),
            schema=version(line, statements),
            fsync=value(line.execute(b"show fsync")) == "on",
            now=value(line.execute(statements.sql("clock"))),
        )


def known() -> int:
    """The newest migration that this program has."""
    return len(migrations("postgres"))


@contextmanager
def _opened(url: str) -> Iterator[Line]:
    watchdog = Watchdog()
    line = Line(url, watchdog)
    watchdog.start()
    try:
        with line.used(MIGRATION):
            yield line
    except Lost as error:
        raise StoreError(f"the database went away: {error}") from error
    finally:
        line.close()
        watchdog.stop()
