"""Where a fault happens: a directory of its own, and the services that run in it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .outcome import Skipped
from .service import PATIENCE, Service, last_line
from .shim import Shim
from .tasks import TASKS

ENVIRONMENT = {name: text for name, text in os.environ.items() if "TRIO_JOBS" not in name}


class Stage:
    """`database` is the URL of an empty one, or a file `jobs.db` here.

    `pause` is for how long a process is stopped, in seconds. `sabotage` is Python that is run in
    each service before it starts (to switch off what protects it); of `acknowledged`, jobs are said
    to have been taken by it before.
    """

    def __init__(
        self,
        directory: Path,
        *,
        pause: float,
        database: str = "",
        sabotage: str = "",
        acknowledged: Iterable[str] = (),
    ) -> None:
        self.directory = directory
        self.pause = pause
        self.file = directory / "jobs.db"
        self.database = database or "sqlite:///jobs.db"
        self.acknowledged = list(acknowledged)
        self._sabotage = sabotage
        self._services = 0
        (directory / "tasks.py").write_text(TASKS)

    def command(self, *words: str) -> list[str]:
        """`trio-jobs` as a command."""
        program = ["-m", "trio_jobs"]
        if self._sabotage:
            program = ["-c", f"{self._sabotage}\nfrom trio_jobs.cli import main; main()"]
        return [sys.executable, *program, *words]

    @contextmanager
    def serve(
        self,
        *options: str,
        app: Sequence[str] = ("tasks:app",),
        before: Sequence[str] = (),
        environment: Mapping[str, str] = ENVIRONMENT,
        wait: bool = True,
        **process: Any,
    ) -> Iterator[Service]:
        """A service; `before` are the words of a command that runs its command."""
        self._services += 1
        log = self.directory / f"log-{self._services}"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            bind = f"127.0.0.1:{probe.getsockname()[1]}"
        words = ("serve", *app, "--bind", bind, "--database", self.database, *options)
        with log.open("wb") as output:
            streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            running = subprocess.Popen(
                [*before, *self.command(*words)],
                cwd=self.directory,
                env=environment,
                **{**streams, **process},
            )
        try:
            service = Service(running, f"http://{bind}", log, self.acknowledged)
            with service.http:
                if wait:
                    service.wait_until_ready()
                yield service
        finally:
            running.kill()
            running.wait()

    def refused(self, *options: str, before: Sequence[str] = ()) -> tuple[int, str]:
        """The exit code and last words of a service that does not start."""
        words = ("serve", "--bind", "127.0.0.1:0", "--database", self.database, *options)
        try:
            done = subprocess.run(
                [*before, *self.command(*words)],
                cwd=self.directory,
                env=ENVIRONMENT,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            return 0, "it started"
        return done.returncode, last_line(done.stderr)

    def shim(self) -> Shim:
        """A C library that fails when it is told to, for `serve(environment=shim.environment)`."""
        return Shim(self.directory, ENVIRONMENT)

    def in_namespace(self, script: str) -> list[str]:
        """Words before a command, to run `script` (mounts, say) where only that command sees it."""
        unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
        whole = [*unshare, "sh", "-ec", f'{script}\nexec "$@"', "sh"]
        try:
            tried = subprocess.run(
                [*whole, "true"], cwd=self.directory, capture_output=True, text=True
            )
        except FileNotFoundError:
            raise Skipped("needs `unshare`") from None
        if tried.returncode:
            raise Skipped(f"may not mount anything here: {last_line(tried.stderr)}")
        return whole
