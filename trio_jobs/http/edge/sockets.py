"""The sockets that the server listens on."""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...errors import ConfigError

BACKLOG = 2_048


@contextmanager
def listening(bind: str, fd: int = 0) -> Iterator[socket.socket]:
    """A socket that listens on `bind`: `HOST:PORT`, `[ADDRESS]:PORT` or `unix:PATH`.

    With `fd`, that is one which somebody else has made, and which stays open. The path of a Unix
    socket is removed at the end, and before when its server is dead.
    Raises OSError when the address cannot be had, ConfigError when it is none.
    """
    if fd:
        with _inherited(fd, bind) as sock:
            yield sock
        return
    if bind.startswith("unix:"):
        with _listening_on_path(Path(bind.removeprefix("unix:"))) as sock:
            yield sock
        return
    host, colon, port = bind.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f"bind: {bind!r} is not HOST:PORT or unix:PATH")
    host = host.removeprefix("[").removesuffix("]")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _listen(sock, (host, int(port)), bind)
        yield sock


def _inherited(fd: int, bind: str) -> socket.socket:
    """Who may come in is decided by `bind`, so it has to be true."""
    try:
        sock = socket.socket(fileno=os.dup(fd))
        name = address(sock)
    except OSError as error:
        raise ConfigError(f"listen_fd: {fd} is no socket ({error.strerror})") from error
    if name != bind:
        sock.close()
        raise ConfigError(f"listen_fd: socket {fd} listens on {name}; set bind to that, not {bind}")
    sock.setblocking(False)
    return sock


def address(sock: socket.socket) -> str:
    """Where it listens, as `bind` says it."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if sock.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"


@contextmanager
def _listening_on_path(path: Path) -> Iterator[socket.socket]:
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            _remove_dead(path)
    with socket.socket(socket.AF_UNIX) as sock:
        _listen(sock, str(path), f"unix:{path}")
        ours = path.stat()
        try:
            yield sock
        finally:
            with suppress(OSError):
                if os.path.samestat(path.stat(), ours):  # not a successor's
                    path.unlink()


def _listen(sock: socket.socket, address: tuple[str, int] | str, bind: str) -> None:
    try:
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        raise OSError(error.errno, f"cannot serve on {bind}: {error.strerror}") from error
    sock.setblocking(False)


def _remove_dead(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, f"unix:{path}: another server listens there")
