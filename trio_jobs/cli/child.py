"""Processes of ours that do what this one was asked for.

Each is in a process group of its own, so that Ctrl-C comes here only and is passed on once. Its
standard input is a pipe from here: when that ends, its parent has died, and it stops.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

from .exits import Exit


def command_line(name: str, target: str | None, flags: Mapping[str, Any]) -> list[str]:
    """A command of ours that is a child of this process, with the same flags."""
    # -P: a click.py in the working directory is nothing that `python -m` should find.
    command = [sys.executable, "-P", "-m", "trio_jobs", name, "--with-parent"]
    for key, value in flags.items():
        flag = key.replace("_", "-")
        if isinstance(value, bool):
            command.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            command.append(f"--{flag}={value}")
    return command if target is None else [*command, target]


class Children:
    """Those that run now. SIGINT and SIGTERM are passed on to them; the third kills them.

    `signals` is how many came, `first_signal` is set by the first.
    """

    def __init__(self) -> None:
        self._running: set[trio.Process] = set()
        self.signals = 0
        self.first_signal = trio.Event()

    async def pass_signals_on(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Until cancelled."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as numbers:
            task_status.started()
            async for number in numbers:
                self.signals += 1
                self.first_signal.set()
                for child in self._running:
                    if self.signals < 3:
                        child.send_signal(number)
                    else:
                        child.kill()

    @asynccontextmanager
    async def running(self, command: list[str], **options: Any) -> AsyncIterator[trio.Process]:
        """One more; killed at the end, if it is still there, and buried."""
        child = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, process_group=0, **options
        )
        self._running.add(child)
        try:
            yield child
        finally:
            self._running.discard(child)
            child.kill()
            with trio.CancelScope(shield=True):
                await child.wait()
                if child.stdin is not None:
                    await child.stdin.aclose()

    def exit_code(self, code: int) -> int:
        """What to exit with when a child has ended with `code`."""
        if self.signals > 2:
            return Exit.INTERRUPTED
        return code if code >= 0 else 128 - code  # as shells say it


def stop_with_parent() -> None:
    """The first signal, to this process itself, once the pipe from its parent ends."""
    threading.Thread(target=_wait_for_parent, name="parent", daemon=True).start()


def _wait_for_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
