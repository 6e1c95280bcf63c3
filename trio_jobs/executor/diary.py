"""What an attempt says while it runs: how far it is, and what it logs."""

from collections import deque
from collections.abc import Iterable
from math import isfinite
from typing import NamedTuple

from ..texts import Redact, shortened
from .description import MAX_MESSAGE, MAX_NAME

MAX_LINES = 1_000
MAX_LOGGED = 256_000


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


class Diary:
    """What an attempt has said and nobody has taken yet: its newest step, and log lines.

    Written by the handler, perhaps in its thread, and read in the event loop. What `redact` takes
    for a secret is never kept.
    """

    def __init__(self, redact: Redact = str) -> None:
        self._redact = redact
        self.step: Step | None = None
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

    def take(self) -> tuple[Step | None, list[Line]]:
        """All that is new."""
        step, self.step = self.step, None
        lines = []
        while self.lines:
            lines.append(self.lines.popleft())
        return step, lines

    def put_back(self, step: Step | None, lines: Iterable[Line]) -> None:
        """What was taken and could not be delivered, before all that was said since."""
        if self.step is None:
            self.step = step
        self.lines.extendleft(reversed(list(lines)))
