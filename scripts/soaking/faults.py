"""What breaks, one thing after the other, in an order drawn from a seed."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from typing import NamedTuple

import apsw
import trio
from auditing.job_processes import job_processes

from .crew import Crew
from .traffic import Traffic

STORM = 2_000  # jobs
RESETS = 50  # connections
BLOCK = bytes(4_000_000)


class Fault(NamedTuple):
    """One that was done, and when (trio time)."""

    name: str
    at: float


class Faults:
    """`done` are those that were, `failed` says of which there was an error (a backup's, say)."""

    def __init__(self, crew: Crew, traffic: Traffic, dice: random.Random) -> None:
        self.done: list[Fault] = []
        self.failed: list[str] = []
        self._crew = crew
        self._traffic = traffic
        self._dice = dice
        self._kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "worker killed": self._kill_worker,
            "job process killed": self._kill_job_process,
            "worker stopped": self._stop_worker,
            "service stopped": self._stop_service,
            "long reader": self._long_reader,
            "backup": self._backup,
            "slow disk": self._slow_disk,
            "connections reset": self._reset,
            "retry storm": self._storm,
        }

    async def run(self, every: float, seconds: float) -> None:
        """One after the other, on average `every` seconds, until `seconds` are over."""
        end = trio.current_time() + seconds
        with trio.move_on_at(end):
            while True:
                for name in self._dice.sample(list(self._kinds), len(self._kinds)):
                    await trio.sleep(every * self._dice.uniform(0.5, 1.5))
                    self.done.append(Fault(name, trio.current_time()))
                    with trio.CancelScope(shield=True):  # none is left undone
                        await self._tried(name)

    async def _tried(self, name: str) -> None:
        try:
            await self._kinds[name]()
        except (RuntimeError, OSError, apsw.Error) as error:
            self.failed.append(f"{name}: {error}")

    async def _kill_worker(self) -> None:
        await trio.to_thread.run_sync(self._crew.kill_worker)

    async def _kill_job_process(self) -> None:
        for pid in job_processes(self._crew.serving.process.pid)[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def _stop_worker(self) -> None:
        """Sometimes for longer than its lease."""
        await self._stopped(self._crew.working.process, self._dice.uniform(1, 8))

    async def _stop_service(self) -> None:
        await self._stopped(self._crew.serving.process, self._dice.uniform(0.5, 2))

    async def _stopped(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        process.send_signal(signal.SIGSTOP)
        try:
            await trio.sleep(seconds)
        finally:
            process.send_signal(signal.SIGCONT)

    async def _long_reader(self) -> None:
        """No checkpoint gets past what it sees."""
        with closing(apsw.Connection(str(self._crew.database), apsw.SQLITE_OPEN_READONLY)) as db:
            db.execute("begin")
            db.execute("select count(*) from (select 1 from jobs limit 1)").fetchall()
            await trio.sleep(self._dice.uniform(3, 15))

    async def _backup(self) -> None:
        copy = self._crew.database.with_name("copy.db")
        command = [sys.executable, "-m", "trio_jobs", "backup", str(copy)]
        command += ["--database", f"sqlite:///{self._crew.database}"]
        done = await trio.run_process(command, check=False, capture_stderr=True)
        if done.returncode:
            raise RuntimeError(f"the backup failed: {done.stderr.decode()}")
        copy.unlink()

    async def _slow_disk(self) -> None:
        """Somebody else writes and syncs as fast as the disk can."""
        file = trio.Path(self._crew.database.with_name("ballast"))
        end = trio.current_time() + self._dice.uniform(2, 5)
        async with await file.open("wb") as ballast:
            while trio.current_time() < end:
                await ballast.seek(0)
                await ballast.write(BLOCK)
                await trio.to_thread.run_sync(os.fsync, ballast.fileno())
        await file.unlink()

    async def _reset(self) -> None:
        await self._traffic.reset(RESETS)

    async def _storm(self) -> None:
        await self._traffic.burst(STORM)
