"""What a handler says in a process of its own: the words that cross, and who sends them.

A process has one connection (a Unix socket) for all its jobs. On it goes a line of JSON for each
thing said. The other end is `relay`.
"""

import logging
import socket
import threading
import time
from contextlib import suppress

import msgspec

from ..logs import said
from ..texts import Redact, shortened
from .description import MAX_MESSAGE, MAX_NAME, MAX_TRACEBACK
from .diary import MAX_LINES, MAX_LOGGED, Step

EVERY = 0.1  # seconds between two steps that are sent; the store hears of them twice a second


class Word(msgspec.Struct, frozen=True, tag=True):
    """Something said."""


class Begins(Word, frozen=True):
    """What follows is about the job that was sent with this token."""

    token: str


class At(Word, frozen=True):
    """How far the job is: a `Step`."""

    done: float
    total: float | None
    note: str | None


class Logged(Word, frozen=True):
    """A log record, as text, at a time in Unix seconds."""

    at: float
    logger: str
    level: int
    level_name: str
    message: str
    traceback: str


class Noted(Word, frozen=True):
    """A line for the job's log alone."""

    level: str
    message: str


class Saved(Word, frozen=True):
    """JSON for the next attempt."""

    text: str


class Ends(Word, frozen=True):
    """Nothing more is said about the job; `lost` lines of its log were too many."""

    lost: int


Words = Begins | At | Logged | Noted | Saved | Ends
_encoder = msgspec.json.Encoder()


class Voice(logging.Handler):
    """Sends what the job at hand says. From any thread; it waits while nobody reads.

    Of too many lines, only how many there were is sent: one job can log no more than elsewhere.
    What `redact` takes for a secret never leaves the process.
    """

    def __init__(self, path: str, redact: Redact) -> None:
        super().__init__()
        self._redact = redact
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._sending = threading.RLock()
        self._waiting: Step | None = None
        self._next_step = 0.0
        self._timer: threading.Timer | None = None
        self._speaks = False
        self._lost = 0

    def begin(self, token: str) -> None:
        """What is said from here on is about the job with this token."""
        with self._sending:
            self._waiting, self._next_step = None, 0.0
            self._lines_left, self._room, self._lost = MAX_LINES, MAX_LOGGED, 0
            self._speaks = True
            self._send(Begins(token))

    def end(self) -> None:
        """Send what waits. Threads that the job has left behind speak to nobody."""
        with self._sending:
            self._send_step()
            self._send(Ends(self._lost))
            self._speaks = False

    def progress(self, step: Step) -> None:
        """Only the newest of a tenth of a second is sent."""
        with self._sending:
            if not self._speaks:
                return
            self._waiting = step
            wait = self._next_step - time.monotonic()
            if wait <= 0:
                self._send_step()
            elif self._timer is None:
                self._timer = threading.Timer(wait, self._send_step)
                self._timer.daemon = True
                self._timer.start()

    def emit(self, record: logging.LogRecord) -> None:
        message, traceback = said(record)
        word = Logged(
            record.created,
            shortened(record.name, MAX_NAME),
            record.levelno,
            shortened(str(record.levelname), MAX_NAME),
            shortened(message, MAX_MESSAGE, self._redact),
            shortened(traceback, MAX_TRACEBACK, self._redact),
        )
        self._send_line(word, len(word.message) + len(word.traceback))

    def note(self, message: str, level: str) -> None:
        """For the job's log, whatever loggers say."""
        word = Noted(level, shortened(message, MAX_MESSAGE, self._redact))
        self._send_line(word, len(word.message))

    def save(self, text: str) -> None:
        """At once: what is to outlive the process must have left it."""
        with self._sending:
            if self._speaks:
                self._send(Saved(text))

    def _send_line(self, word: Words, size: int) -> None:
        with self._sending:
            if not self._speaks:
                return
            self._lines_left -= 1
            self._room -= size
            if self._lines_left < 0 or self._room < 0:
                self._lost += 1
            else:
                self._send(word)

    def _send_step(self) -> None:
        with self._sending:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            step, self._waiting = self._waiting, None
            if step is not None:
                self._next_step = time.monotonic() + EVERY
                self._send(At(*step))

    def _send(self, word: Words) -> None:
        with suppress(OSError):  # nobody listens any more: this process is about to be ended
            self._socket.sendall(_encoder.encode(word) + b"\n")
