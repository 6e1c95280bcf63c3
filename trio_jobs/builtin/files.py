"""What `process_file` reads: a file in the jail `files_dir`, or the uploaded body.

The jail is held by descriptors: each component of a path is opened in the directory before it and
never through a link, so that no renaming meanwhile leads out of it.
"""

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from ..errors import Fail, InvalidInput

CHUNK = 1_000_000
"""Bytes between two checkpoints: some milliseconds of work."""


class FileInput(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="operation"
):
    """What all operations take: `path` within `files_dir`; none for an uploaded body."""

    path: str | None = None


class Source(io.RawIOBase):
    """A file to read from start to end, where every read is a checkpoint.

    So whatever library reads from it stops when the job is cancelled. `size` is in bytes,
    `file_name` without directories. A read of more than `largest_read` bytes raises `too_large`:
    no library may load a file whole because the file tells it to.
    """

    largest_read = 100_000_000
    too_large: Exception = Fail("The file is too large to be read at once.")

    def __init__(
        self, raw: io.RawIOBase | io.BytesIO, name: str, size: int, checkpoint: Callable[[], None]
    ) -> None:
        self._raw = raw
        self._checkpoint = checkpoint
        self.file_name = name
        self.size = size

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            size = max(self.size - self.tell(), 0)
        if size > self.largest_read:
            raise self.too_large
        self._checkpoint()
        return self._raw.read(size) or b""

    def readinto(self, buffer: Any, /) -> int:
        self._checkpoint()
        return self._raw.readinto(buffer) or 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._raw.seek(offset, whence)

    def chunks(self) -> Iterator[bytes]:
        """The rest of it, in pieces of up to CHUNK bytes."""
        while chunk := self.read(CHUNK):
            yield chunk

    def close(self) -> None:
        self._raw.close()
        super().close()


def check_path(path: str) -> None:
    """InvalidInput at `/path` unless it is a plain relative path, such as `reports/may.csv`."""
    parts = path.split("/")
    if "\0" in path or len(path.encode("utf-8", "replace")) > 4_096:
        raise InvalidInput("the path is too long or contains NUL", "/path")
    if path.startswith("/"):
        raise InvalidInput("the path must be relative to files_dir", "/path")
    if any(part in ("", ".", "..") for part in parts):
        raise InvalidInput("the path has an empty part, or a part that is . or ..", "/path")


@contextmanager
def open_upload(body: bytes, checkpoint: Callable[[], None]) -> Iterator[Source]:
    """The uploaded body as a Source."""
    with Source(io.BytesIO(body), "upload", len(body), checkpoint) as source:
        yield source


@contextmanager
def open_in_jail(root: str, path: str, checkpoint: Callable[[], None]) -> Iterator[Source]:
    """The regular file `path` beneath the directory `root` as a Source.

    Raises Fail when it is missing, cannot be read, is something else than a file, or when a
    symbolic link stands anywhere in `path`.
    """
    check_path(path)
    try:
        descriptor = _open_beneath(root, path.split("/"))
    except OSError as error:
        raise _explained(error, path) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Fail(f"{path!r} is not a regular file.")
        with (
            io.FileIO(descriptor, closefd=False) as file,
            Source(file, path.rpartition("/")[2], status.st_size, checkpoint) as source,
        ):
            yield source
    finally:
        os.close(descriptor)


def _open_beneath(root: str, parts: list[str]) -> int:
    """A descriptor of the last part; each is looked up in the one before it."""
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            inner = os.open(
                part,
                os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                dir_fd=directory,
            )
            os.close(directory)
            directory = inner
        # O_NONBLOCK: a FIFO without a writer would hang in open()
        return os.open(
            parts[-1],
            os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC,
            dir_fd=directory,
        )
    finally:
        os.close(directory)


def _explained(error: OSError, path: str) -> Exception:
    match error.errno:
        case errno.ENOENT:
            return Fail(f"There is no file {path!r} in files_dir.")
        case errno.ELOOP | errno.ENOTDIR:
            return Fail(
                f"{path!r} goes through a symbolic link or something else than a directory."
            )
        case errno.EACCES | errno.EPERM:
            return Fail(f"{path!r} may not be read by this server.")
        case errno.ENXIO | errno.ENODEV:
            return Fail(f"{path!r} is not a regular file.")
        case errno.ENAMETOOLONG:
            return Fail(f"{path!r} has a part that is too long.")
    return error
