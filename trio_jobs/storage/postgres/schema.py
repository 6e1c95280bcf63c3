"""The schema of a database, and our functions in it, brought up to date."""

import logging
import time
from collections.abc import Callable
from typing import Any

from ...errors import StoreError
from ..migrations import migrations, mismatch
from .failures import Again, jitter
from .line import Line, value
from .statements import Statements

log = logging.getLogger(__name__)

TRIES = 10


def migrate(line: Line, statements: Statements) -> list[str]:
    """The names of what was applied, oldest first.

    Raises SchemaMismatch when a newer program has made a breaking change, StoreError when the
    tables there are somebody else's.
    """

    def ask(query: str, *args: Any) -> Any:
        return value(line.ask(statements.sql(query), args))

    if ask("schema_foreign"):
        raise StoreError("the database has tables of another program; choose another database")
    known = migrations("postgres")
    if not ask("schema_exists"):
        _repeated(line, lambda: ask("schema_create"))
    newer = ask("schema_newer", len(known))
    if newer is not None:
        raise mismatch(newer, len(known))
    applied = []
    for migration in known[ask("schema_version") :]:

        def apply(migration: Any = migration) -> bool:
            row = (migration.version, migration.name, migration.breaking)
            first = bool(ask("schema_add", *row))
            if first:  # else another process was faster
                line.execute(migration.sql.encode())
            return first

        if _repeated(line, lambda: _transaction(line, apply)):
            applied.append(migration.label)
    return applied


def version(line: Line, statements: Statements) -> int:
    """The newest migration that this database has; 0 for an empty one."""
    if not value(line.ask(statements.sql("schema_exists"), ())):
        return 0
    return int(value(line.ask(statements.sql("schema_version"), ())))


def is_current(line: Line, statements: Statements) -> bool:
    """There is nothing to migrate or to install."""
    return version(line, statements) >= len(migrations("postgres")) and bool(
        value(line.execute(statements.sql("procedures_exist")))
    )


def install(line: Line, statements: Statements) -> None:
    """Makes the functions that this program calls, unless they are there."""

    def make() -> None:
        line.execute(statements.sql("procedures_lock"))
        if not value(line.execute(statements.sql("procedures_exist"))):
            line.execute(statements.script.encode())

    if not value(line.execute(statements.sql("procedures_exist"))):
        _repeated(line, lambda: _transaction(line, make))
    line.execute(statements.sql("forget_the_future"))


def _transaction(line: Line, work: Callable[[], Any]) -> Any:
    line.execute(b"begin")
    try:
        result = work()
        line.execute(b"commit")
    except BaseException:
        line.roll_back()
        raise
    return result


def _repeated(line: Line, work: Callable[[], Any]) -> Any:
    """Two processes that create the same thing meet in the catalogs, and one of them fails."""
    for _ in range(TRIES):
        try:
            return work()
        except Again:
            time.sleep(jitter(0.01, 0.1))
    return work()
