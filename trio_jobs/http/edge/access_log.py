"""One JSON line per request, written by a thread of its own so that no log stops the loop."""

import json
import logging
import queue
import threading
from time import monotonic
from typing import Any

import trio

from ...clock import now, to_rfc3339

LOGGER = "trio_jobs.access"
MOST_WAITING = 10_000
FLUSH = 0.5  # seconds for the last lines when the server stops

_Entry = tuple[float, dict[str, Any] | None, int, int, float]


class NoLine:
    """The line of a request that is not logged."""

    def begin(self, scope: dict[str, Any]) -> None:
        """A request has come."""

    def end(self, status: int, size: int) -> None:
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

    def end(self, status: int, size: int) -> None:
        """See NoLine. Without a request there is a line for what was refused, none for 0."""
        scope, self._scope = self._scope, None
        if scope is not None or status:
            seconds = monotonic() - self._began if scope is not None else 0.0
            self._log.put((now(), scope, status, size, seconds))


class AccessLog:
    """Hands lines to the `trio_jobs.access` logger from a thread.

    When the logger is slower than the requests, lines are dropped and counted (`dropped`):
    the line that follows says how many. The query string is not logged; it may hold secrets.
    """

    def __init__(self) -> None:
        self._entries: queue.Queue[_Entry | None] = queue.Queue(MOST_WAITING)
        # A daemon: a logger that blocks for ever must not keep the process alive.
        self._thread = threading.Thread(target=self._write, name="access log", daemon=True)
        self.dropped = 0

    def line(self) -> Line:
        """The line of one connection."""
        return Line(self)

    def put(self, entry: _Entry) -> None:
        """Log when, scope, status, bytes sent, seconds: at once, or never."""
        try:
            self._entries.put_nowait(entry)
        except queue.Full:
            self.dropped += 1

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the thread while this is not cancelled, then give it a second for the rest."""
        self._thread.start()
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):  # bounded by FLUSH, twice
                await trio.to_thread.run_sync(self._stop)

    def _stop(self) -> None:
        try:
            self._entries.put(None, timeout=FLUSH)
        except queue.Full:
            return
        self._thread.join(FLUSH)

    def _write(self) -> None:
        logger = logging.getLogger(LOGGER)
        told = 0
        while (entry := self._entries.get()) is not None:
            if not logger.isEnabledFor(logging.INFO):
                continue
            at, scope, status, size, seconds = entry
            client = scope["client"] if scope else None
            line: dict[str, Any] = {
                "time": to_rfc3339(at),
                "client": client[0] if client else None,
                "method": scope["method"] if scope else None,
                "path": scope["path"] if scope else None,
                "http": scope["http_version"] if scope else None,
                "status": status,
                "bytes": size,
                "ms": round(seconds * 1000, 3),
            }
            if self.dropped != told:
                line["dropped"], told = self.dropped - told, self.dropped
            logger.info("%s", json.dumps(line))
