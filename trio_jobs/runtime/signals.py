"""Ctrl-C and SIGTERM: how often they came, and the last resort when nothing else ends the process.

The handlers are plain Python ones, not `trio.open_signal_receiver`: that one is read by the event
loop, and a handler that blocks the loop would then also block the way out.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import trio

from ..logs import say_if_possible

EXIT_AT_ONCE = 130
EXIT_BY_WATCHDOG = 75


class Signals:
    """First signal: `stop`. Second: `hurry`. Third: the process is gone.

    `patience` is in seconds: what the ladder may take before a thread ends the process.
    """

    def __init__(self, patience: float, *, hurry: trio.Event) -> None:
        self._patience = patience
        self._count = 0
        self._watchdog: threading.Timer | None = None
        self.stop = trio.Event()
        self.hurry = hurry

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
            if self._watchdog is not None:
                self._watchdog.cancel()

    def end_after(self, seconds: float, code: int) -> None:
        """Ends the process with `code` if it is still there in `seconds`, whatever it does."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watchdog = threading.Timer(seconds, _end, (seconds, code))
        self._watchdog.daemon = True
        with suppress(RuntimeError):  # no thread to be had: then without a last resort
            self._watchdog.start()

    def _came(self, number: int, frame: FrameType | None) -> None:
        self._count = count = self._count + 1  # another may come while this one is handled
        if count >= 3:
            os._exit(EXIT_AT_ONCE)
        self._token.run_sync_soon((self.stop if count == 1 else self.hurry).set)
        if count == 1:
            self.end_after(self._patience, EXIT_BY_WATCHDOG)


def _end(seconds: float, code: int) -> None:
    say_if_possible(f"trio_jobs: still not stopped after {seconds:g} s; leaving ({code})")
    os._exit(code)
