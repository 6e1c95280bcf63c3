"""Bytes in and out of one client, in the clear or through TLS, with a deadline on each send."""

import os
from math import inf
from time import monotonic
from typing import Protocol

import trio

from .connections import Guest

READ_SIZE = 65_536


class ClientGone(OSError):
    """The client has closed its connection, or stopped reading for too long."""

    def __init__(self) -> None:
        super().__init__("the client is gone")


class Wire(Protocol):
    """What a connection needs of its transport."""

    async def read(self) -> bytes:
        """The next bytes, or b"" when there will be none. Cancellation loses nothing."""

    def read_now(self) -> bytes:
        """What has come already, or b"" when nothing has or none can be had without waiting."""

    async def write(self, data: bytes) -> None:
        """Hand all of `data` to the kernel. Raises ClientGone.

        Not a checkpoint when the kernel takes it at once. Cancellation may leave a part
        unsent: every later write raises ClientGone.
        """

    async def finish(self) -> None:
        """Tell the client that nothing more will be sent, where the transport can."""


class PlainWire:
    """A socket in the clear.

    Reads wait for trio and then go to the descriptor, writes go there first: `SocketStream`
    costs two more checkpoints and a failing system call for each request.
    """

    __slots__ = ("_broken", "_fd", "_guest", "_lock", "_stream", "_timeout")

    def __init__(self, stream: trio.SocketStream, guest: Guest, timeout: float) -> None:
        self._stream = stream
        self._fd = stream.socket.fileno()
        self._guest = guest
        self._timeout = timeout
        self._lock = trio.Lock()
        self._broken = False

    async def read(self) -> bytes:
        """See Wire."""
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            try:
                return os.read(self._fd, READ_SIZE)
            except BlockingIOError:
                continue
            except OSError:
                return b""

    def read_now(self) -> bytes:
        """See Wire."""
        try:
            return os.read(self._fd, READ_SIZE)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        """See Wire."""
        if self._lock.locked():  # another task of the app is in the midst of a slow write
            await self._lock.acquire()
            sent = 0
        elif self._broken:
            raise ClientGone
        else:
            sent = self._write_now(data)
            if sent == len(data):
                return
            self._lock.acquire_nowait()
        try:
            await self._write_slowly(memoryview(data)[sent:])
        finally:
            self._lock.release()

    def _write_now(self, data: bytes | memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._broken = True
            raise ClientGone from error

    async def _write_slowly(self, rest: memoryview) -> None:
        if self._broken:
            raise ClientGone
        self._broken = True  # unless all is sent: nothing may follow half a response
        guest = self._guest
        try:
            while rest:
                guest.send_by = monotonic() + self._timeout
                await trio.lowlevel.wait_writable(self._fd)
                rest = rest[self._write_now(rest) :]
        except trio.ClosedResourceError as error:  # by the connection, under a task left behind
            raise ClientGone from error
        finally:
            guest.send_by = inf
        self._broken = False

    async def finish(self) -> None:
        """See Wire."""
        await self._stream.send_eof()


class TlsWire:
    """The same through TLS, after the handshake."""

    __slots__ = ("_broken", "_guest", "_lock", "_stream", "_timeout")

    def __init__(
        self, stream: trio.SSLStream[trio.SocketStream], guest: Guest, timeout: float
    ) -> None:
        self._stream = stream
        self._guest = guest
        self._timeout = timeout
        self._lock = trio.Lock()
        self._broken = False

    async def read(self) -> bytes:
        """See Wire."""
        try:
            return bytes(await self._stream.receive_some(READ_SIZE))
        except trio.BrokenResourceError:
            return b""

    def read_now(self) -> bytes:
        """See Wire. Nothing: the bytes that came are still encrypted."""
        return b""

    async def write(self, data: bytes) -> None:
        """See Wire."""
        async with self._lock:
            if self._broken:
                raise ClientGone
            self._broken = True
            guest = self._guest
            rest = memoryview(data)
            try:
                while rest:
                    guest.send_by = monotonic() + self._timeout
                    await self._stream.send_all(rest[:READ_SIZE])
                    rest = rest[READ_SIZE:]
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise ClientGone from error
            finally:
                guest.send_by = inf
            self._broken = False

    async def finish(self) -> None:
        """See Wire. TLS has no half-close that clients understand; closing sends its notice."""
        await trio.lowlevel.checkpoint()
