"""Who uses a database file on this machine: locks that the kernel drops when a process dies.

Two kinds of lock files lie beside the database, never on it (closing any descriptor of a file
drops this process's POSIX locks on it, SQLite's among them):

- `<database>.lock`: held exclusively by the one owner, or shared by all who asked for sharing;
- `<database>.workers/<identity>`: held by each living process, so that others can tell at once,
  without waiting for a lease, that a worker is dead.
"""

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path

from ..errors import StoreLocked, Unavailable

PREFIX = "process-"


class Presence:
    """This process's claim on a database, from construction until `leave`.

    `identity` is random per start: a host name would be the same after a crash.
    Raises StoreLocked when another process owns the file.
    """

    def __init__(self, database: Path, *, shared: bool) -> None:
        self.identity = PREFIX + secrets.token_hex(8)
        self._owner = _open(database.with_name(database.name + ".lock"))
        try:
            fcntl.flock(self._owner, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._owner, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._owner)
            raise StoreLocked(
                f"{database} is in use by process {pid}. Stop it, or start all of them with "
                "--shared to let them work on the same file."
            ) from None
        os.ftruncate(self._owner, 0)
        os.pwrite(self._owner, f"{os.getpid()}\n".encode(), 0)

        self._workers = database.with_name(database.name + ".workers")
        self._workers.mkdir(mode=0o700, exist_ok=True)
        # Locked before it has its name: nobody may find it there unlocked and think it dead.
        nameless = self._workers / f".{self.identity}"
        self._alive = _open(nameless)
        fcntl.flock(self._alive, fcntl.LOCK_EX)
        nameless.rename(self._workers / self.identity)

    def living(self) -> set[str]:
        """The identities of all living processes; the files of dead ones are removed.

        Raises Unavailable when they cannot be looked at (no descriptor is left, say).
        """
        alive = {self.identity}
        try:
            for file in self._workers.iterdir():
                if file.name.startswith(PREFIX) and file.name != self.identity:
                    if _is_held(file):
                        alive.add(file.name)
                    else:
                        file.unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(f"cannot tell which workers live: {error}") from error
        return alive

    def leave(self) -> None:
        with suppress(OSError):
            (self._workers / self.identity).unlink()
        os.close(self._alive)
        os.close(self._owner)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
