"""One line per request, made in a thread of its own so that no log stops the loop."""

import logging
from collections.abc import Iterable
from time import monotonic
from typing import Any

import trio

from ...logs import EXTRA, Writer

LOGGER = "trio_jobs.access"
MOST_WAITING = 10_000
FLUSH = 0.5  # seconds for the last lines when the server stops

Headers = Iterable[tuple[bytes, bytes]]
_Entry = tuple[dict[str, Any] | None, int, int, float, Headers]


class NoLine:
    """The line of a request that is not logged."""

    def begin(self, scope: dict[str, Any]) -> None:
        """A request has come."""

    def end(self, status: int, size: int, headers: Headers = ()) -> None:
        """It was answered, or not (status 0). `size` is the body's bytes sent."""


class Line(NoLine):
    """The line of the request that a connection is at. `end` counts once a request."""

    def __init__(self, log: "AccessLog") -> None:
        self._log = log
        self._scope: dict[str, Any] | None = None
        self._began = 0.0

    def begin(self, scope: dict[str, Any]) -> None:
        """See NoLine."""
        self._scope, self._began = scope, monotonic()

    def end(self, status: int, size: int, headers: Headers = ()) -> None:
        """See NoLine. Without a request there is a line for what was refused, none for 0."""
        scope, self._scope = self._scope, None
        if scope is not None or status:
            seconds = monotonic() - self._began if scope is not None else 0.0
            self._log.put((scope, status, size, seconds, headers))


class AccessLog:
    """Hands lines to the `trio_jobs.access` logger from a thread, the numbers as fields.

    When the logger is slower than the requests, lines are dropped: the line that follows says how
    many (`dropped`). The query string is not logged; it may hold secrets.
    """

    def __init__(self) -> None:
        self._writer = Writer(_log, room=MOST_WAITING, name="access log")

    def line(self) -> Line:
        """The line of one connection."""
        return Line(self)

    def put(self, entry: _Entry) -> None:
        """Log scope, status, bytes sent, seconds, response headers: at once, or never."""
        self._writer.put(entry)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the thread while this is not cancelled, then give it a moment for the rest."""
        self._writer.start()
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):  # bounded by FLUSH
                await trio.to_thread.run_sync(self._writer.stop, FLUSH)


def _log(entry: _Entry, dropped: int) -> None:
    logger = logging.getLogger(LOGGER)
    if not logger.isEnabledFor(logging.INFO):
        return
    scope, status, size, seconds, headers = entry
    client = scope["client"] if scope else None
    fields: dict[str, Any] = {
        "client": client[0] if client else None,
        "method": scope["method"] if scope else None,
        "path": scope["path"] if scope else None,
        "http": scope["http_version"] if scope else None,
        "status": status,
        "bytes": size,
        "ms": round(seconds * 1000, 3),
    }
    for name, value in headers:
        if name.lower() == b"x-request-id":
            fields["request_id"] = value.decode("latin-1")
    if dropped:
        fields["dropped"] = dropped
    what = f"{fields['method']} {fields['path']!r}" if scope else "what is no request"
    logger.info("%s -> %d", what, status, extra={EXTRA: fields})
