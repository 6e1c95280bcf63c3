"""How far a long call is, on stderr."""

import sys
import time
from typing import Any

import click

EVERY = 1.0  # seconds between two lines in a log
REDRAW = 0.1  # … and between two looks of a bar
WIDTH = 30


class ProgressBar:
    """A bar on a terminal; elsewhere a line now and then. Call it with each progress: `done`,
    `matched` where it is known how many there are, and `scanned`, the part that is behind us, where
    that is known."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._bar = sys.stderr.isatty()
        self._last = time.monotonic() if not self._bar else 0.0
        self._drawn = 0

    def __call__(self, progress: dict[str, Any]) -> None:
        now = time.monotonic()
        if now - self._last < (REDRAW if self._bar else EVERY):
            return
        self._last = now
        counted = f"{self._verb}: {progress['done']:,}"
        if "matched" in progress:
            counted += f" of {progress['matched']:,}"
        scanned = progress.get("scanned")
        if not self._bar:
            click.echo(counted + ("" if scanned is None else f" ({scanned:.0%})"), err=True)
            return
        line = counted
        if scanned is not None:
            full = round(scanned * WIDTH)
            line = f"[{'#' * full}{'.' * (WIDTH - full)}] {counted}"
        click.echo("\r" + line.ljust(self._drawn), err=True, nl=False)
        self._drawn = len(line)

    def close(self) -> None:
        """Makes room for the next line."""
        if self._drawn:
            click.echo("\r" + " " * self._drawn + "\r", err=True, nl=False)
            self._drawn = 0
