"""Doorbells between the processes of one machine that share a SQLite file.

Beside the lock files of `presence` lies a named pipe for each process that listens. A ring is a
letter written into each of them. Like every doorbell it is a hint: who does not hear it looks by
himself a little later.

Why so: `pragma data_version`, asked in a thread every 10 ms, cost an idle process 2.8 % of a core
(it may have 0.5), and tells of a write without saying what. Here silence is free. And the names of
Unix sockets must be short.
"""

import logging
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import trio

from .doorbell import Doorbell

log = logging.getLogger(__name__)

PREFIX = "bell-"
PAUSE = 0.01  # seconds between two rings; the first is at once


class Neighbours:
    """`bells`, by their letter, are rung here when another process says so.

    A visitor does not listen (`bells` is empty). With `loud`, `ring` reaches the others: a process
    that owns the file has none but visitors.
    """

    def __init__(self, database: Path, bells: Mapping[str, Doorbell], *, loud: bool) -> None:
        self._directory = database.with_name(database.name + ".workers")
        self._mine = self._directory / (PREFIX + secrets.token_hex(8))
        self._bells = bells
        self._loud = loud
        self._unsaid: set[str] = set()
        self._late = Doorbell()
        self._may_ring_at = 0.0

    def ring(self, letters: str) -> None:
        """Rings the bells with these letters elsewhere, now or PAUSE after the last time."""
        if not self._loud or not letters:
            return
        self._unsaid.update(letters)
        if trio.current_time() >= self._may_ring_at:
            self.flush()
        else:
            self._late.ring()

    def flush(self) -> None:
        """Says what has not been said yet."""
        letters, self._unsaid = "".join(sorted(self._unsaid)).encode(), set()
        self._may_ring_at = trio.current_time() + PAUSE
        if not letters:
            return
        with suppress(OSError):
            for pipe in self._directory.iterdir():
                if pipe.name.startswith(PREFIX) and pipe != self._mine:
                    _write(pipe, letters)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listens, and says what had to wait, until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._bells:
                await nursery.start(self._listen)
            if self._loud:
                nursery.start_soon(self._flush_later)
            task_status.started()

    async def _flush_later(self) -> None:
        while True:
            await self._late.wait()
            await trio.sleep_until(self._may_ring_at)
            self.flush()

    async def _listen(self, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            pipe = self._open()
        except OSError as error:  # not every file system has pipes
            log.warning("this process hears others only when it looks: no pipe (%s)", error)
            return
        finally:
            task_status.started()
        try:
            while True:
                await trio.lowlevel.wait_readable(pipe)
                for letter in set(os.read(pipe, 4_096).decode("ascii", "ignore")):
                    if (bell := self._bells.get(letter)) is not None:
                        bell.ring()
        finally:
            os.close(pipe)
            with suppress(OSError):
                self._mine.unlink()

    def _open(self) -> int:
        # Opened before it has its name: who finds a pipe that nobody reads thinks its owner dead.
        nameless = self._directory / f".{self._mine.name}"
        os.mkfifo(nameless, 0o600)
        pipe = os.open(nameless, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)  # RDWR: it never ends
        nameless.rename(self._mine)
        return pipe


def _write(pipe: Path, letters: bytes) -> None:
    try:
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # nobody reads it any more
        pipe.unlink(missing_ok=True)
        return
    try:
        with suppress(BlockingIOError):  # it is full of rings already
            os.write(descriptor, letters)
    finally:
        os.close(descriptor)
