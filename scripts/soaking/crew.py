"""The two processes of the soak: one that serves and works, and one that only works."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

from load_testing.servers import Server

HANDLERS = Path(__file__).with_name("handlers.py")


class Crew:
    """Both on one SQLite file in `directory`. `serving` lives as long as the soak."""

    def __init__(self, directory: Path, keep: str) -> None:
        self.database = directory / "jobs.db"
        self._common = [
            *("tasks:app", "--database", f"sqlite:///{self.database}"),
            *("--keep", f"done={keep},failed={keep},cancelled={keep}"),
            *("--lease", "5", "--log-level", "info"),
        ]
        self._homes = [directory / "serving", directory / "working"]
        for home in self._homes:
            home.mkdir()
            shutil.copy(HANDLERS, home / "tasks.py")

    async def start(self) -> None:
        """Returns when the service serves. NotServing when it does not."""
        own = ["--shared", "--bind", "127.0.0.1:0"]
        self.serving = self._launch("serve", self._homes[0], *own)
        await self.serving.ready()
        self.start_worker()

    def start_worker(self) -> None:
        self.working = self._launch("worker", self._homes[1])

    def _launch(self, command: str, home: Path, *own: str) -> Server:
        return Server(["-m", "trio_jobs", command, *self._common, *own], str(home))

    def kill_worker(self) -> None:
        """kill -9, and another in its place."""
        self.working.process.kill()
        self.working.process.wait()
        self.start_worker()

    def told(self) -> dict[str, Any]:
        """The newest whole line of the gauge in the serving process."""
        with (self._homes[0] / "gauge").open("rb") as gauge:
            gauge.seek(max(0, gauge.seek(0, os.SEEK_END) - 20_000))
            lines = gauge.read().rpartition(b"\n")[0].splitlines()
        told: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return told

    def stop(self) -> list[int | None]:
        """How they exited."""
        for server in (self.working, self.serving):
            server.process.send_signal(signal.SIGCONT)
            server.stop()
        return [server.process.returncode for server in (self.serving, self.working)]

    def last_words(self) -> str:
        return "\n".join(server.last_words() for server in (self.serving, self.working))
