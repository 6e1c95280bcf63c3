"""The worker's heartbeat as a task."""

from contextlib import closing
from typing import Any

import trio

from trio_jobs.worker.heartbeat import LOOK, Heartbeat

from .chance import Chance


class VirtualHeartbeat(Heartbeat):
    """The real beat on the real connection, but without the thread, and now and then late."""

    def __init__(self, *args: Any, chance: Chance, **options: Any) -> None:
        super().__init__(*args, **options)
        self._chance = chance

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._loop = trio.lowlevel.current_trio_token()
        with closing(self._store.pulse()) as pulse:
            task_status.started()
            while True:
                wait = self._lease / 3 if self._beat(pulse) else LOOK
                if self._chance.strikes("late beat"):
                    wait += self._chance.dice.uniform(0, 2 * self._lease)
                await trio.sleep(wait)
