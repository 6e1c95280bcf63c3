"""What an attempt says while it runs: how far it is, and what it logs."""

from collections import deque
from math import isfinite
from typing import NamedTuple

import msgspec

from ..texts import Redact, shortened
from .description import MAX_MESSAGE, MAX_NAME

MAX_LINES = 1_000
MAX_LOGGED = 256_000
MAX_SAVED = 256_000


class Line(NamedTuple):
    """Something that a job logged, at a time in Unix seconds."""

    at: float
    level: str
    message: str


class Step(NamedTuple):
    """How far a job says it is."""

    done: float
    total: float | None
    note: str | None

    @classmethod
    def told(cls, done: float, total: float | None, note: str | None, redact: Redact) -> "Step":
        """What a handler said; ValueError for what is no number."""
        for number in (done, total):
            if number is not None and not isfinite(number):
                raise ValueError(f"progress is told in numbers, not {number!r}")
        note = None if note is None else shortened(str(note), MAX_NAME, redact)
        # Fractions, NumPy's numbers and True are numbers, but not in everybody's JSON.
        return cls(float(done), None if total is None else float(total), note)


class Said(NamedTuple):
    """What is new: how far the job is, what it logged, and the JSON that it saved."""

    step: Step | None
    lines: list[Line]
    saved: str | None


def savable(value: object) -> str:
    """`value` as JSON; TypeError or ValueError when it cannot be, or is too large."""
    text = msgspec.json.encode(value).decode()
    if len(text) > MAX_SAVED:
        raise ValueError(f"{len(text):,} characters to save; the limit is {MAX_SAVED:,}")
    return text


class Diary:
    """What an attempt has said and nobody has taken yet: its newest step, log lines, what it saves.

    Written by the handler, perhaps in its thread, and read in the event loop. What `redact` takes
    for a secret is never kept; what it saves is for itself alone, and stays as it is.
    """

    def __init__(self, redact: Redact = str) -> None:
        self._redact = redact
        self.step: Step | None = None
        self.saved: str | None = None
        self.lines: deque[Line] = deque()
        self.lines_lost = 0
        self._lines_left = MAX_LINES
        self._room = MAX_LOGGED

    def add(self, line: Line) -> None:
        """Of too many lines, only how many there were is kept."""
        message = shortened(line.message, MAX_MESSAGE, self._redact)
        self._lines_left -= 1
        self._room -= len(message)
        if self._lines_left < 0 or self._room < 0:
            self.lines_lost += 1
        else:
            # A level has whatever name somebody gave it.
            self.lines.append(Line(line.at, shortened(str(line.level), MAX_NAME), message))

    def take(self) -> Said | None:
        """All that is new, if anything is."""
        step, self.step = self.step, None
        saved, self.saved = self.saved, None
        lines = []
        while self.lines:
            lines.append(self.lines.popleft())
        return Said(step, lines, saved) if step or lines or saved else None

    def put_back(self, said: Said) -> None:
        """What was taken and could not be delivered, before all that was said since."""
        self.step = self.step or said.step
        self.saved = self.saved or said.saved
        self.lines.extendleft(reversed(said.lines))
