"""What `trio-jobs doctor` looks at: each check says how it stands, and what to do about it."""

import os
import platform
import shutil
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import apsw
import httpx

from ..config import Settings
from ..errors import TrioJobsError
from ..storage import copies, is_postgres, sqlite_path
from ..storage.migrations import migrations
from . import check_postgres
from .finding import FAIL, OK, WARN, Finding

SAFE_SQLITE = (3, 51, 3)  # 3.7.0 to 3.51.2 may corrupt a WAL when two checkpoint at once
LITTLE, TOO_LITTLE = 1_000_000_000, 100_000_000  # bytes free
SYNCS = 21
SLOW, IMPOSSIBLE = 0.02, 0.000_02  # seconds: an fsync that reaches a disk takes longer than that
SLACK = 60.0  # seconds that a file may be newer than now
PUBLISHED = 1_764_000_000.0  # Unix seconds: no clock of a machine that runs this shows less
PATIENCE = 3.0


def versions() -> Iterator[Finding]:
    yield Finding("python", OK, platform.python_version())
    sqlite = apsw.sqlite_lib_version()
    if tuple(map(int, sqlite.split("."))) < SAFE_SQLITE:
        yield Finding("sqlite", FAIL, sqlite, "Upgrade apsw: this one may corrupt the database.")
    else:
        yield Finding("sqlite", OK, f"{sqlite} (apsw {version('apsw')})")
    for package in ("trio", "hypercorn", "quart", "quart-trio"):
        yield Finding(package, OK, version(package))


def places(settings: Settings) -> Iterator[Finding]:
    """The database, the data directory and the disks they lie on."""
    if is_postgres(settings.database):
        yield from check_postgres.database(settings)
        yield _directory("data directory", Path(settings.data_dir))
        yield _space(_existing(Path(settings.data_dir)))
        return
    path = sqlite_path(settings.database)
    yield _directory("database directory", path.parent)
    yield _database(path)
    yield _directory("data directory", Path(settings.data_dir))
    yield _space(_existing(path.parent))
    yield _sync_speed(_existing(path.parent))


def files(settings: Settings) -> Iterator[Finding]:
    """What the settings name must be there."""
    for name in ("tls_cert", "tls_key", "smtp_ca_file", "files_dir"):
        value = getattr(settings, name)
        if value is None:
            continue
        if os.access(value, os.R_OK):
            yield Finding(name, OK, value)
        else:
            yield Finding(name, FAIL, f"{value} cannot be read", f"Correct {name}, or its rights.")


def clock(settings: Settings) -> Finding:
    now = time.time()
    written = 0.0
    if not is_postgres(settings.database):
        path = sqlite_path(settings.database)
        written = path.stat().st_mtime if path.exists() else 0.0
    advice = "Set the clock (NTP): delays, leases and the order of jobs follow it."
    if now < PUBLISHED:
        return Finding("clock", FAIL, f"it shows {time.ctime(now)}", advice)
    if written > now + SLACK:
        ahead = written - now
        return Finding("clock", WARN, f"the database was written {ahead:,.0f} s from now", advice)
    return Finding("clock", OK, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)))


def address(settings: Settings) -> Finding:
    """Is the address free, or served by trio_jobs already?"""
    if settings.bind.startswith("unix:"):
        return _unix_socket(Path(settings.bind.removeprefix("unix:")))
    host, _, port = settings.bind.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdecimal():
        return Finding("address", FAIL, settings.bind, "bind is HOST:PORT or unix:PATH.")
    try:
        [(family, kind, *_, where), *_] = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM
        )
        with closing(socket.socket(family, kind)) as mine:
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            mine.bind(where)
    except OSError as error:
        served = _who_serves(settings)
        if served is not None:
            return Finding("address", OK, f"{settings.bind} is served by trio_jobs {served}")
        return Finding(
            "address", FAIL, f"{settings.bind}: {error.strerror}", "Choose another with --bind."
        )
    return Finding("address", OK, f"{settings.bind} is free")


def _who_serves(settings: Settings) -> str | None:
    scheme = "https" if settings.tls_cert else "http"
    try:
        # Only asked who it is; a certificate for another name is as good.
        answer = httpx.get(
            f"{scheme}://{settings.bind}/livez",
            timeout=PATIENCE,
            trust_env=False,
            verify=False,  # noqa: S501
        )
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
    ours: str | None = answer.headers.get("Trio-Jobs-Version")
    return ours


def _unix_socket(path: Path) -> Finding:
    if path.exists() and not path.is_socket():
        return Finding("address", FAIL, f"{path} is no socket", "Choose another with --bind.")
    found = _directory("address", path.parent)
    return found if found.status != OK else Finding("address", OK, f"unix:{path}")


def _directory(check: str, path: Path) -> Finding:
    there = _existing(path)
    if not there.is_dir():
        return Finding(check, FAIL, f"{there} is no directory", "Name another place.")
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        return Finding(check, FAIL, f"{there} cannot be written", f"chown or chmod {there}.")
    if there != path.absolute():
        return Finding(check, OK, f"{path} will be made")
    return Finding(check, OK, str(there))


def _database(path: Path) -> Finding:
    if not path.exists():
        return Finding("database", OK, f"{path} will be made")
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding("database", FAIL, f"{path} cannot be written", f"chown or chmod {path}.")
    try:
        found, known = copies.schema_of(path), len(migrations("sqlite"))
    except (TrioJobsError, OSError) as error:
        return Finding("database", FAIL, str(error), "Restore a backup: trio-jobs restore FILE.")
    size = f"{path}, {path.stat().st_size:,} bytes, schema {found}"
    if found < known:
        return Finding("database", WARN, size, f"serve, or migrate, brings it to {known}.")
    if path.stat().st_mode & 0o077:
        return Finding("database", WARN, f"others may read {path}", f"chmod 600 {path}")
    return Finding("database", OK, size)


def _space(directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free
    said = f"{free / 1e9:,.1f} GB free"
    if free < LITTLE:
        advice = "Make room: a full disk refuses every job."
        return Finding("disk", FAIL if free < TOO_LITTLE else WARN, said, advice)
    return Finding("disk", OK, said)


def _sync_speed(directory: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            took = statistics.median(_timed_sync(file.fileno()) for _ in range(SYNCS))
    except OSError as error:
        return Finding("fsync", FAIL, str(error), "The database needs a disk that keeps things.")
    said = f"{took * 1e3:.2f} ms (median of {SYNCS})"
    if took > SLOW:
        return Finding("fsync", WARN, said, "A slow disk: each commit waits so long.")
    if took < IMPOSSIBLE:
        advice = "Too fast to be true: memory (tmpfs), or a disk that loses jobs in a power cut."
        return Finding("fsync", WARN, said, advice)
    return Finding("fsync", OK, said)


def _timed_sync(descriptor: int) -> float:
    os.write(descriptor, bytes(4_096))
    start = time.perf_counter()
    os.fsync(descriptor)
    return time.perf_counter() - start


def _existing(path: Path) -> Path:
    """The path, or the nearest above it that is there."""
    path = path.absolute()
    return next(found for found in (path, *path.parents) if found.exists())
