"""`trio-jobs serve --reload`: a process that starts the service again when its source changes."""

import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from .child import Children
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

    async def run(self) -> int:
        """Returns what to exit with."""
        self._children = Children()
        async with trio.open_nursery() as nursery:
            await nursery.start(self._children.pass_signals_on)
            # Before the child reads the files: no change of theirs is missed.
            self._seen = await trio.to_thread.run_sync(look, self._directory)
            while True:
                has_changed, code = await self._run_child()
                if not has_changed and not self._children.signals:
                    log.warning("the service has ended (%d); a change starts it again", code)
                    code = 0
                    await self._change_or_signal()
                if self._children.signals:
                    break
            nursery.cancel_scope.cancel()
        return self._children.exit_code(code)

    async def _run_child(self) -> tuple[bool, int]:
        """Until it ends, or is stopped for a change: whether that was so, and its exit code."""
        has_changed = False
        environment = os.environ | NO_BYTECODE
        async with (
            self._children.running(self._command, env=environment) as child,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_cancel_after, child.wait, nursery.cancel_scope)
            await self._change()
            has_changed = True
            child.terminate()
            await trio.sleep(GRACE)
            child.terminate()
            await trio.sleep(PATIENCE)
        return has_changed, child.returncode or 0

    async def _change_or_signal(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                _cancel_after, self._children.first_signal.wait, nursery.cancel_scope
            )
            await self._change()
            nursery.cancel_scope.cancel()

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


async def _cancel_after(event: Callable[[], Awaitable[object]], scope: trio.CancelScope) -> None:
    await event()
    scope.cancel()
