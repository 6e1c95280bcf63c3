"""Ctrl-C and SIGTERM: how often they came, and the last resort when nothing else ends the process.

The handlers are plain Python ones, not `trio.open_signal_receiver`: that one is read by the event
loop, and a handler that blocks the loop would then also block the way out.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import trio

EXIT_AT_ONCE = 130
EXIT_BY_WATCHDOG = 75


class Signals:
    """First signal: `stop`. Second: `hurry`. Third: the process is gone.

    `patience` is in seconds: what the ladder may take before a thread ends the process.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._count = 0
        self.stop = trio.Event()
        self.hurry = trio.Event()

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handles SIGINT and SIGTERM inside; must be entered in the main thread, in trio."""
        self._token = trio.lowlevel.current_trio_token()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            signal.signal(number, self._came)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _came(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count >= 3:
            os._exit(EXIT_AT_ONCE)
        if self._count == 1:
            watchdog = threading.Timer(self._patience, os._exit, (EXIT_BY_WATCHDOG,))
            watchdog.daemon = True
            watchdog.start()
        event = self.stop if self._count == 1 else self.hurry
        self._token.run_sync_soon(event.set)
