"""Cuts connections that hang.

A server that is stopped, or a network that drops packets, keeps a blocking call in its thread for
as long as TCP has hope: libpq has no time limit for a query. So a thread of ours looks at the clock
and shuts the socket down under the call, which then fails at once.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOOK = 0.2


class Limit:
    """`passed` once the time was up and the connection was cut."""

    __slots__ = ("deadline", "fd", "passed")

    def __init__(self, fd: int, deadline: float) -> None:
        self.fd = fd
        self.deadline = deadline
        self.passed = False


class Watchdog:
    """Looks five times a second, from `start` until `stop`."""

    def __init__(self) -> None:
        self._limits: set[Limit] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def start(self) -> None:
        self._stop.clear()
        threading.Thread(target=self._run, name="postgres-watchdog", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    @contextmanager
    def limit(self, fd: int, seconds: float) -> Iterator[Limit]:
        """What is done inside on the socket `fd` fails after `seconds`, or up to LOOK later.

        The socket is not to be closed inside: its number might be somebody else's by then.
        """
        limit = Limit(fd, time.monotonic() + seconds)
        with self._lock:
            self._limits.add(limit)
        try:
            yield limit
        finally:
            with self._lock:
                self._limits.discard(limit)

    def _run(self) -> None:
        while not self._stop.wait(LOOK):
            now = time.monotonic()
            with self._lock:
                for limit in self._limits:
                    if now > limit.deadline and not limit.passed:
                        limit.passed = True
                        _cut(limit.fd)


def _cut(fd: int) -> None:
    try:
        with socket.socket(fileno=os.dup(fd)) as twin:
            twin.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it has gone by itself
