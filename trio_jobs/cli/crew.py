"""`--processes N`: several processes that do the same, on one port and one database."""

import logging
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import trio

from ..config import Settings
from .child import Children, command_line
from .daemon import logging_to_stderr

log = logging.getLogger("trio_jobs")

PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before another takes the place of one that died
YOUNG = 5.0  # seconds: who has not lived longer may never have been of use


class Crew:
    """Runs `count` times `command` until told to stop, and another for each that dies.

    The pause before that doubles while they die young. When the first of all refuses to start (a
    wrong setting, a port in use), the others are not tried in vain: all end.
    """

    def __init__(self, command: list[str], count: int, *, pass_fds: tuple[int, ...] = ()) -> None:
        self._command = command
        self._count = count
        self._pass_fds = pass_fds
        self._code = 0

    async def run(self) -> int:
        """Returns what to exit with."""
        self._children = Children()
        async with trio.open_nursery() as nursery:
            await nursery.start(self._children.pass_signals_on)
            async with trio.open_nursery() as members:
                self._members = members.cancel_scope
                for _ in range(self._count):
                    members.start_soon(self._member)
            nursery.cancel_scope.cancel()
        return self._children.exit_code(self._code)

    async def _member(self) -> None:
        """One place in the crew."""
        pause = PAUSE
        has_lived = False
        while True:
            start = trio.current_time()
            code = await self._life()
            if self._children.signals:
                self._code = self._code or code
                return
            age = trio.current_time() - start
            if code > 0 and age < YOUNG and not has_lived:
                self._code = code
                self._members.cancel()
                return
            has_lived = True
            pause = PAUSE if age > YOUNG else min(2 * pause, LONGEST_PAUSE)
            log.error("a process has ended (%d); another takes its place in %g s", code, pause)
            with trio.move_on_after(pause):
                await self._children.first_signal.wait()
                return

    async def _life(self) -> int:
        async with self._children.running(self._command, pass_fds=self._pass_fds) as child:
            return await child.wait()


def run_crew(
    settings: Settings,
    name: str,
    target: str | None,
    flags: Mapping[str, Any],
    *,
    pass_fds: tuple[int, ...] = (),
) -> NoReturn:
    """As many of the command `name` as the settings say; exits when all have ended."""
    command = command_line(name, target, {**flags, "processes": 1})
    with logging_to_stderr(settings):
        log.info("starting %d processes", settings.processes)
        code = trio.run(Crew(command, settings.processes, pass_fds=pass_fds).run)
    sys.exit(code)
