"""The process of `serve` and of `worker`: its log, its limits, and how it ends."""

import gc
import logging
import os
import resource
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import NoReturn

import trio

from .. import logs
from ..config import Settings
from ..redaction import Redactor
from ..runtime import Runtime, exit_code, reasons
from .target import Target

log = logging.getLogger("trio_jobs")

MAX_DESCRIPTORS = 65_536

Work = Callable[[Target], Awaitable[None]]


class Daemon:
    """Does `work` with what `target` names, until told to stop. `explain` is how it says why it
    failed.

    All that it says is logged.
    """

    def __init__(
        self,
        settings: Settings,
        target: str | None,
        work: Work,
        *,
        explain: Callable[[Exception], str],
    ) -> None:
        self._settings = settings
        self._target = target
        self._work = work
        self._explain = explain

    def run(self) -> NoReturn:
        """Exits."""
        with logging_to_stderr(self._settings):
            tune_process()
            code = self._run()
        sys.exit(code)

    def _run(self) -> int:
        """Until it has ended, for whatever reason; how the process exits."""
        try:
            trio.run(self._work, Target(self._target, self._settings))
        except (Exception, BaseExceptionGroup) as error:
            found = reasons(error)
            if found:
                log.critical("%s", self._explain(found[0]))
            else:
                log.critical("the service has failed", exc_info=error)
            return exit_code(found)
        return 0


async def run_here(target: Target, *, http: bool, greet: Callable[[list[str]], None]) -> None:
    """The runtime, on a database of its own or one that is shared."""
    runtime = Runtime(target.settings, target.registry, on_ready=greet, http=http)
    with target.bound(runtime.service):
        await runtime.run()


def logging_to_stderr(settings: Settings) -> AbstractContextManager[object]:
    """The log of a process of ours."""
    if sys.stderr is None:  # closed: the next file to be opened would get its number
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    return logs.installed(
        sys.stderr.fileno(),
        look=settings.log_format,
        level=settings.log_level,
        redactor=Redactor(settings.redact, settings.secrets),
    )


def tune_process() -> None:
    """What a process that serves wants of Python and of the system."""
    # With Python's own thresholds, the p99 of POSTs on 64 connections was 26 to 37 ms in three
    # runs; with these 17 to 24.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most > MAX_DESCRIPTORS:
        most = MAX_DESCRIPTORS
    with suppress(OSError, ValueError):  # a connection is a descriptor
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        )
