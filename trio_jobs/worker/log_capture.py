"""Log lines of a job become the job's: any `logging` call in its context, threads included."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..executor.attempt import Attempt
from ..logs import said

current: ContextVar[Attempt | None] = ContextVar("current", default=None)
"""The attempt that a task works for; set around the handler, inherited by what it starts."""

_users = 0


class _Capture(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and _heard_by_nobody_else(record):
            last.handle(record)  # Python would fall back on stderr but for us
        attempt = current.get()
        if attempt is not None:
            attempt.log("\n".join(text for text in said(record) if text), record.levelname)


def _heard_by_nobody_else(record: logging.LogRecord) -> bool:
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        if any(handler is not _capture for handler in logger.handlers):
            return False
        logger = logger.parent if logger.propagate else None
    return True


_capture = _Capture()


@contextmanager
def installed() -> Iterator[None]:
    """Listens to the root logger, once however many workers this process has."""
    global _users
    _users += 1
    logging.getLogger().addHandler(_capture)  # a second time changes nothing
    try:
        yield
    finally:
        _users -= 1
        if not _users:
            logging.getLogger().removeHandler(_capture)
