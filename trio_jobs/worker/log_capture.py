"""Log lines of a job become the job's: any `logging` call in its context, threads included."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .. import clock
from ..executor import Attempt, Line

current: ContextVar[tuple[Attempt, clock.Now] | None] = ContextVar("current", default=None)
"""The attempt that a task works for, and its clock; set around the handler, inherited by what it
starts."""

_users = 0


class _Capture(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if logging.getLogger().handlers == [self]:
            # Nobody has configured logging, and Python would fall back on stderr but for us.
            if logging.lastResort is not None and record.levelno >= logging.lastResort.level:
                logging.lastResort.handle(record)
        found = current.get()
        if found is None:
            return
        attempt, now = found
        try:
            message = self.format(record)
        except Exception:  # its arguments do not fit its text; logging's own answer is to go on
            message = f"{record.msg!r} (its arguments do not fit)"
        attempt.log(Line(now(), record.levelname, message))


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
