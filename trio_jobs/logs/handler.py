"""From `logging` to a file descriptor."""

import logging
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from ..redaction import Redactor
from ..texts import encodable, shortened
from .context import EXTRA, fields
from .hooks import hooked
from .lines import Event, Look, as_json, as_text
from .record import said
from .writer import Writer

ROOM = 16_000_000
"""Characters that wait at most; a line counts as its texts and OVERHEAD."""
OVERHEAD = 500
FLUSH = 0.5  # seconds for the last lines
MAX_MESSAGE = 16_000
MAX_TRACEBACK = 64_000
# They tell URLs and headers at INFO and DEBUG, which may hold the secrets of webhooks; and the
# edge's greeting is our own.
_QUIET = ("httpx", "httpcore", "hpack", "trio_jobs.edge")


class LogHandler(logging.Handler):
    """Writes each record as a line to the descriptor `fd`, from a thread of its own.

    A record that comes while 16 million characters wait is dropped; when it flows again, a line
    says how many were. `flush` and `close` wait for half a second at most. Secrets are hidden by
    `redactor`; texts that are too long lose their middle.
    """

    def __init__(self, fd: int, look: Look, redactor: Redactor, *, room: int = ROOM) -> None:
        super().__init__()
        self._fd = fd
        self._look = look
        self._redactor = redactor
        self._writer = Writer(self._write, room=room, name="log")
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        message, traceback = said(record)
        event = Event(
            record.created,
            str(record.levelname),
            record.name,
            self._bounded(message, MAX_MESSAGE),
            self._bounded(traceback, MAX_TRACEBACK),
            {**fields(), **getattr(record, EXTRA, {})},
        )
        self._writer.put(event, OVERHEAD + len(event.message) + len(event.traceback))

    def flush(self) -> None:
        self._writer.flush(FLUSH)

    def close(self) -> None:
        self._writer.stop(FLUSH)
        super().close()

    def _bounded(self, text: str, limit: int) -> str:
        """Only what is too long is redacted here, as it is cut; the rest in the thread."""
        return text if len(text) <= limit else shortened(text, limit, self._redactor.text)

    def _write(self, event: Event, dropped: int) -> None:
        if dropped:
            lost = f"{dropped:,} log lines are missing here: nobody took them in time"
            told = Event(event.at, "WARNING", __name__, lost, "", {"dropped": dropped})
            _write_all(self._fd, self._line(told))
        _write_all(self._fd, self._line(event))

    def _line(self, event: Event) -> bytes:
        shown = event._replace(
            message=self._redactor.text(encodable(event.message)),
            traceback=self._redactor.text(encodable(event.traceback)),
            fields=self._redactor.json(event.fields),
        )
        return self._look(shown).encode("utf-8", "replace") + b"\n"


def _write_all(fd: int, data: bytes) -> None:
    """To the descriptor itself: a lock of `sys.stderr` would be held for as long as it is stuck."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # others may have made it so: a terminal is shared
            select.select([], [fd], [])


@contextmanager
def installed(fd: int, *, look: str, level: str, redactor: Redactor) -> Iterator[LogHandler]:
    """All of this process's logging goes to `fd` inside; on the way out the last lines do.

    `look` and `level` are the settings `log_format` and `log_level`.
    """
    is_terminal = os.isatty(fd)
    write: Look = as_json
    if look == "pretty" or (look == "auto" and is_terminal):
        write = partial(as_text, colours=is_terminal and not os.environ.get("NO_COLOR"))
    handler = LogHandler(fd, write, redactor)
    handler.setLevel(level.upper())
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("", *_QUIET)}
    root.addHandler(handler)
    # Jobs keep their own lines from INFO up, however quiet the service is.
    root.setLevel(min(logging.INFO, handler.level))
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with hooked():
            yield handler
    finally:
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)
        root.removeHandler(handler)
        handler.close()
