"""Where the jobs are kept. `open_store(url)` picks the backend; `base.Store` is the contract."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ConfigError
from ..metrics import Metrics
from ..redaction import without_secrets
from .base import Store
from .sqlite import SqliteStore
from .write import Callback

SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgres://")


def is_postgres(url: str) -> bool:
    return url.startswith(POSTGRES)


def sqlite_path(url: str) -> Path:
    """`sqlite:///jobs.db` is relative, `sqlite:////var/lib/jobs.db` absolute."""
    path = url.removeprefix(SQLITE)
    if is_postgres(url):
        raise ConfigError(
            "database: this works on a file of SQLite's; PostgreSQL has tools of its own for it"
        )
    if not url.startswith(SQLITE) or not path:
        raise ConfigError(
            f"database: {without_secrets(url)!r} is not sqlite:///FILE or postgresql://HOST/NAME"
        )
    return Path(path)


def open_store(
    url: str,
    *,
    durable: bool,
    shared: bool,
    callback: Callback | None = None,
    metrics: Metrics | None = None,
) -> Store:
    """A store for `url`; nothing is opened before its `run`.

    `shared` is for a file: other processes may use it too. With PostgreSQL they always may.
    `callback` makes the job that tells of the end of one with a `callback_url`; it is stored in the
    transaction in which that one ends. Without it nobody is told.
    """
    if is_postgres(url):
        return _postgres(url, durable=durable, callback=callback, metrics=metrics)
    return SqliteStore(
        sqlite_path(url), durable=durable, shared=shared, callback=callback, metrics=metrics
    )


def open_visitor(url: str, callback: Callback | None = None) -> Store:
    """A store for a call or two, beside whatever service has the database. It must exist."""
    if is_postgres(url):
        return _postgres(url, visitor=True, callback=callback)
    return SqliteStore(sqlite_path(url), visitor=True, callback=callback)


def postgres_upkeep() -> ModuleType:
    """For commands that look at a PostgreSQL database or make one."""
    with _extra():
        from .postgres import upkeep

        return upkeep


def postgres_end() -> ModuleType:
    """PostgreSQL as an end of a move."""
    with _extra():
        from .move import postgres

        return postgres


def _postgres(url: str, **options: Any) -> Store:
    with _extra():
        from .postgres import PostgresStore

        return PostgresStore(url, **options)


@contextmanager
def _extra() -> Iterator[None]:
    """psycopg is an extra, and nobody else need wait for its import."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"database: PostgreSQL needs psycopg ({error}): pip install 'trio-jobs[postgres]'"
        ) from None
