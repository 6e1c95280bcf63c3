"""A process of a peer, and what it says."""

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from typing import Any

from .environment import last_line

Figures = dict[str, Any]  # a measure's name → its value, or the reason why there is none


class Failed(Exception):
    """A phase came to nothing; the reason."""


class Process:
    """A process of a peer; at the end of the `with` it, and all it started, are gone."""

    def __init__(self, command: list[str], variables: dict[str, str]) -> None:
        self._command = command
        self._variables = variables

    def __enter__(self) -> "Process":
        self._errors = tempfile.TemporaryFile("w+")
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env=self._variables,
                start_new_session=True,
            )
        except OSError as error:
            raise Failed(f"cannot be started: {error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        # Its own children are in its session, and may outlive it.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        self._errors.close()

    def ready(self, patience: float) -> None:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], patience)[0]:
            raise Failed(f"not ready within {patience:.0f} s")
        if self._process.stdout.readline() != "ready\n":
            raise self._failed()

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def result(self, patience: float) -> Figures:
        try:
            out, _ = self._process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            raise Failed(f"no end within {patience:.0f} s") from None
        try:
            return dict(json.loads(out.splitlines()[-1]))
        except (IndexError, ValueError):
            raise self._failed() from None

    def _failed(self) -> Failed:
        time.sleep(0.1)  # what it started may still be telling why
        self._errors.seek(0)
        return Failed(last_line(self._errors.read()))
