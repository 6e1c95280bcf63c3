"""A thread that keeps the leases alive and watches the event loop.

A thread, with a connection of its own, so that a handler which blocks the loop costs no lease. And
since it is the one who can see that, it says so: the stack of whatever blocks the loop for more
than a second goes to the log.
"""

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing, suppress

import trio

from ..errors import Unavailable
from ..storage.base import Pulse
from ..storage.records import Lease
from ..storage.work import WorkStore

log = logging.getLogger(__name__)

LOOK = 0.25
BLOCKED = 1.0


class Heartbeat:
    """Extends `leases` (id -> lease) by `lease` seconds, three times per `lease`.

    `leases` belongs to the event loop; the thread reads copies. `on_lost(lease)` runs in the loop
    for each one that turned out to be somebody else's.
    """

    def __init__(
        self,
        store: WorkStore,
        leases: dict[str, Lease],
        *,
        lease: float,
        now: Callable[[], float],
        on_lost: Callable[[Lease], None],
    ) -> None:
        self._store = store
        self._leases = leases
        self._lease = lease
        self._now = now
        self._on_lost = on_lost
        self._stop = threading.Event()
        self._ended = trio.Event()
        self._error: BaseException | None = None
        self._ticked = time.monotonic()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Beats until cancelled; the thread has ended when this returns.

        Raises what the thread failed with: nobody may work on without a heartbeat.
        """
        self._loop = trio.lowlevel.current_trio_token()
        self._loop_thread = threading.get_ident()
        thread = threading.Thread(target=self._thread, name="heartbeat", daemon=True)
        thread.start()
        task_status.started()
        try:
            await self._ended.wait()
            if self._error is not None:
                raise self._error
        finally:
            self._stop.set()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(thread.join)

    # ── in the thread ─────────────────────────────────────────────────────────────────────────

    def _thread(self) -> None:
        try:
            pulse = self._store.pulse()
            with closing(pulse):
                self._beat_and_watch(pulse)
        except trio.RunFinishedError:
            return
        except BaseException as error:
            self._error = error
        with suppress(trio.RunFinishedError):
            self._loop.run_sync_soon(self._ended.set)

    def _beat_and_watch(self, pulse: Pulse) -> None:
        next_beat = looked = time.monotonic()
        reported = False
        while not self._stop.wait(LOOK):
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + (self._lease / 3 if self._beat(pulse) else LOOK)
            # If this thread came late itself, the whole process was stopped: nobody's fault.
            if now - self._ticked > BLOCKED and now - looked < 2 * LOOK:
                if not reported:
                    self._report(now - self._ticked)
                reported = True
            else:
                reported = False
            looked = now
            self._loop.run_sync_soon(self._tick, idempotent=True)

    def _beat(self, pulse: Pulse) -> bool:
        leases = self._leases.copy()
        if not leases:
            return True
        try:
            held = pulse.extend(list(leases.values()), self._now() + self._lease)
        except Unavailable as error:
            log.warning("could not extend %d leases, trying again: %s", len(leases), error)
            return False
        for id_, lease in leases.items():
            if id_ not in held:
                self._loop.run_sync_soon(self._on_lost, lease)
        return True

    def _tick(self) -> None:
        self._ticked = time.monotonic()

    def _report(self, seconds: float) -> None:
        frame = sys._current_frames().get(self._loop_thread)
        stack = "".join(traceback.format_stack(frame)[-12:]) if frame else "(no stack)\n"
        log.warning("the event loop has been blocked for %.1f s by:\n%s", seconds, stack)
