"""A file on its way to the queue, in pieces, with a progress bar."""

import os
import stat
import sys
from collections.abc import Iterator
from types import TracebackType

from .exits import Exit, fail
from .progress import ProgressBar

PIECE = 65_536


class Lines:
    """The bytes of FILE, or of standard input for `-`, as they are read."""

    def __init__(self, file: str) -> None:
        try:
            self._file = sys.stdin.buffer if file == "-" else open(file, "rb")  # noqa: PTH123, SIM115 - closed by __exit__
        except OSError as error:
            fail(f"{file}: {error.strerror}", Exit.USAGE)
        self._size = _size(self._file.fileno()) if file != "-" else 0
        self._bar = ProgressBar("sent")

    def __enter__(self) -> "Lines":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        if self._file is not sys.stdin.buffer:
            self._file.close()

    def __iter__(self) -> Iterator[bytes]:
        sent = lines = 0
        while piece := self._file.read(PIECE):
            yield piece
            sent += len(piece)
            lines += piece.count(b"\n")
            share = {"scanned": sent / self._size} if self._size else {}
            self._bar({"done": lines, **share})


def _size(descriptor: int) -> int:
    """0 for what has none, such as a pipe."""
    found = os.fstat(descriptor)
    return found.st_size if stat.S_ISREG(found.st_mode) else 0
