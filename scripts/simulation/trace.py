"""What has happened in a world, a line each, by virtual time."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Trace(logging.Handler):
    """Takes what the product logs, too. Equal seeds must leave equal traces: `digest`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def note(self, who: str, what: str) -> None:
        self.lines.append(f"{trio.current_time():9.4f}  {who:<4} {what}")

    def emit(self, record: logging.LogRecord) -> None:
        self.note("log", record.getMessage())

    @contextmanager
    def listening(self) -> Iterator[None]:
        """To the product's log, and nobody else does."""
        log = logging.getLogger("trio_jobs")
        log.addHandler(self)
        log.propagate = False
        try:
            yield
        finally:
            log.propagate = True
            log.removeHandler(self)

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()[:16]
