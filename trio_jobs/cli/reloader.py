"""`trio-jobs serve --reload`: a process that starts the service again when its source changes.

The service is a child in a process group of its own, so that Ctrl-C comes here only and is passed
on once. Its standard input is a pipe from here: when that ends, its parent has died, and it stops.
"""

import logging
import os
import signal
import subprocess
import threading
from pathlib import Path

import trio

from .exits import Exit
from .source_files import changed, look

log = logging.getLogger("trio_jobs")

EVERY = 0.5  # seconds between looks
GRACE = 2.0  # … for running jobs to end, before the second signal
PATIENCE = 8.0  # … for what the second signal should have ended, before it is killed
SHOWN = 3  # names in a line
# Bytecode is told to be old by seconds and size: two edits within a second may look the same.
NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}


class Reloader:
    """Runs `command` until it is told to stop, and anew whenever a Python file changes.

    Signals go to the child; the third kills it. When it ends by itself (a syntax error, say), the
    next change starts it again.
    """

    def __init__(self, command: list[str], directory: Path) -> None:
        self._command = command
        self._directory = directory
        self._child: trio.Process | None = None
        self._signals = 0

    async def run(self) -> int:
        """Returns what to exit with."""
        code = 0
        async with trio.open_nursery() as nursery:
            await nursery.start(self._pass_signals_on, nursery.cancel_scope)
            # Before the child reads the files: no change of theirs is missed.
            self._seen = await trio.to_thread.run_sync(look, self._directory)
            while True:
                has_changed, ended = await self._run_child()
                if self._signals:
                    code = ended
                    break
                if not has_changed:
                    log.warning("the service has ended (%d); a change starts it again", ended)
                    await self._change()
            nursery.cancel_scope.cancel()
        if self._signals > 2:
            return Exit.INTERRUPTED
        return code if code >= 0 else 128 - code  # as shells say it

    async def _run_child(self) -> tuple[bool, int]:
        """Until it ends, or is stopped for a change: whether that was so, and its exit code."""
        has_changed = False
        child = self._child = await trio.lowlevel.open_process(
            self._command, stdin=subprocess.PIPE, process_group=0, env=os.environ | NO_BYTECODE
        )
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_at_end, nursery.cancel_scope, child)
                await self._change()
                has_changed = True
                child.terminate()
                await trio.sleep(GRACE)
                child.terminate()
                await trio.sleep(PATIENCE)
        finally:
            self._child = None
            child.kill()
            with trio.CancelScope(shield=True):
                code = await child.wait()
                if child.stdin is not None:
                    await child.stdin.aclose()
        return has_changed, code

    async def _change(self) -> None:
        """Returns when a file has changed; says which."""
        while True:
            await trio.sleep(EVERY)
            before = self._seen
            self._seen = await trio.to_thread.run_sync(look, self._directory)
            if paths := changed(before, self._seen):
                names = ", ".join(map(str, paths[:SHOWN])) + (" …" if len(paths) > SHOWN else "")
                log.info("starting again: %s changed", names)
                return

    async def _pass_signals_on(
        self, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]
    ) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as numbers:
            task_status.started()
            async for number in numbers:
                self._signals += 1
                if self._child is None:
                    scope.cancel()
                elif self._signals < 3:
                    self._child.send_signal(number)
                else:
                    self._child.kill()


async def _cancel_at_end(scope: trio.CancelScope, child: trio.Process) -> None:
    await child.wait()
    scope.cancel()


def stop_with_parent() -> None:
    """The first signal, to this process itself, once the pipe from its parent ends."""
    threading.Thread(target=_wait_for_parent, name="parent", daemon=True).start()


def _wait_for_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
