"""Where the jobs are kept. `open_store(url)` picks the backend; `base.Store` is the contract."""

from pathlib import Path

from ..errors import ConfigError
from ..metrics import Metrics
from .base import Store
from .sqlite import SqliteStore

SQLITE = "sqlite:///"


def sqlite_path(url: str) -> Path:
    """`sqlite:///jobs.db` is relative, `sqlite:////var/lib/jobs.db` absolute."""
    path = url.removeprefix(SQLITE)
    if not url.startswith(SQLITE) or not path:
        raise ConfigError(f"database: {url!r} is not sqlite:///FILE")
    return Path(path)


def open_store(url: str, *, durable: bool, shared: bool, metrics: Metrics | None = None) -> Store:
    """A store for `url`; nothing is opened before its `run`."""
    return SqliteStore(sqlite_path(url), durable=durable, shared=shared, metrics=metrics)


def open_visitor(url: str) -> Store:
    """A store for a call or two, beside whatever service has the database. It must exist."""
    return SqliteStore(sqlite_path(url), visitor=True)
