"""Handlers in processes of their own, which can be killed.

    run(attempt, errand) ──▶ trio-parallel ──pipe──▶ child.run ──▶ the handler
    the attempt          ◀── relay ◀──Unix socket── voice  ◀── progress, log lines

What that costs, on 2 cores with Python 3.11 and a handler that does nothing: 74 ms in a new process
(all of it Python's and our imports, 25 of them `importlib.metadata`; trio would add 50), 0.16 ms in
a warm one (p99 0.19). An endless loop in C was gone 3 to 9 ms after its deadline.
"""

import logging
import os
import signal
from contextlib import suppress
from functools import partial
from math import inf

import trio

from ..job import Error, Failed, Outcome
from ..texts import Redact
from . import child
from .attempt import Attempt
from .relay import Relay

log = logging.getLogger(__name__)

IDLE = 60.0  # seconds after which an idle process ends
GOING = 1.0  # seconds that idle processes have to end when all is over; then they are killed
LAST_WORDS = 0.25  # seconds to wait for what a process has said before its end


class Processes:
    """At most `size` processes (0: one for each CPU), spawned as they are needed, used again.

    `run` must be running while `execute` is used. `redact` hides secrets before they are sent back.
    """

    def __init__(self, size: int, redact: Redact) -> None:
        self.free = trio.CapacityLimiter(size or _cpus())
        self._redact = redact
        self._relay = Relay()
        self._unlimited = trio.CapacityLimiter(inf)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keeps processes until cancelled, when no attempt is under way; leaves none behind."""
        import trio_parallel  # takes 60 ms, and most services have no such handlers

        self._broken = trio_parallel.BrokenWorkerError
        async with trio.open_nursery() as nursery:
            path = await nursery.start(self._relay.run)
            level = logging.getLogger().getEffectiveLevel()
            with suppress(trio_parallel.BrokenWorkerError):  # one did not go, and was killed
                async with trio_parallel.open_worker_context(
                    idle_timeout=IDLE,
                    init=partial(child.begin, path, self._redact, level),
                    retire=child.is_spent,
                    grace_period=GOING,
                ) as self._context:
                    task_status.started()
                    while True:
                        await trio.sleep(IDLE)
                        self._context.statistics()  # reaps those that have ended

    async def execute(self, attempt: Attempt, errand: child.Errand) -> Outcome:
        """Runs a handler to its end, once there is a process for it; cancelled, it kills that.

        A process that dies by itself fails this attempt, and nothing else.
        """
        async with self.free:
            attempt.start_clock()
            with self._relay.listening(attempt) as ear:
                try:
                    return await self._send(
                        errand._replace(token=ear.token, deadline=attempt.deadline)
                    )
                finally:
                    with trio.move_on_after(LAST_WORDS, shield=True):
                        await ear.ended.wait()

    async def _send(self, errand: child.Errand) -> Outcome:
        try:
            outcome: Outcome = await self._context.run_sync(
                child.run, errand, kill_on_cancel=True, limiter=self._unlimited
            )
        except self._broken as error:
            return Failed(Error("Crashed", f"the process of the handler died: {_how(error)}"))
        return outcome


def _how(error: Exception) -> str:
    """Why a process has ended that was not meant to."""
    code = error.args[-1].exitcode
    if code is None or code >= 0:
        return f"it exited with code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _cpus() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
