"""Real services in processes of their own, for the tests that need signals, kills and sockets."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

PATIENCE = 20.0  # seconds, for what takes much less
ENVIRONMENT = {name: text for name, text in os.environ.items() if "TRIO_JOBS" not in name}
# The commands that a shell finds are those of this Python.
ENVIRONMENT["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
SERVE = (sys.executable, "-m", "trio_jobs", "serve", "--bind", "127.0.0.1:0")


class Service:
    """A running `trio-jobs serve`; `http` talks to it."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        self.url = self._wait_for_url()
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _wait_for_url(self) -> str:
        def url() -> str | None:
            assert self.process.poll() is None, self.log
            found = re.search(r"serving on (http://[^\s\"]+)", self.log)
            return found and found[1]

        return until(url)

    def post(self, type_: str, input_: Any = None, **options: Any) -> str:
        """The id of the new job."""
        reply = self.http.post("/jobs", json={"type": type_, "input": input_ or {}, **options})
        assert reply.status_code == 201, reply.text
        return reply.json()["id"]

    def get(self, id_: str) -> Any:
        return self.http.get(f"/jobs/{id_}").json()

    def wait_for(self, id_: str, *words: str) -> Any:
        """The job, once its state or status is one of `words`."""

        def there() -> Any:
            job = self.get(id_)
            return job if job["state"] in words or job["status"] in words else None

        return until(there)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE)


@contextmanager
def running(directory: Path, *options: str, command: Sequence[str] = SERVE) -> Iterator[Service]:
    """A service in `directory`; killed in the end if it still runs."""
    log = directory / f"service-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *options],
            cwd=directory,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        service = Service(process, log)
        try:
            yield service
        finally:
            service.http.close()  # of the client that it has by now
    finally:
        process.kill()
        process.wait()


def until(look: Any, patience: float = PATIENCE) -> Any:
    """What `look` returns, as soon as it is something."""
    give_up = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < give_up, "it never happened"
        time.sleep(0.02)
    return found
