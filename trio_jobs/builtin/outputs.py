"""What `process_file` writes: files in `<data_dir>/files`, whole or not at all.

Everything is written under a temporary name, brought to stable storage, and renamed. The names
come from the job's id: when the job runs again, it replaces what it made before.
"""

import io
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..disk import sync_directory

SYNC_EVERY = 32_000_000
"""Bytes: one fsync of a whole gigabyte would be a call of seconds that no cancel can stop."""


def safe_suffix(name: str, default: str) -> str:
    """The extension of a file name somebody else chose, `.csv`; `default` when it is odd."""
    found = re.search(r"\.[A-Za-z0-9]{1,10}\Z", name)
    return found.group() if found else default


class OutputFile(io.BufferedWriter):
    """A new file that goes to stable storage bit by bit."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path, "xb", opener=_private), 256_000)
        self._unsynced = 0

    def write(self, data: Any, /) -> int:
        written = super().write(data)
        self._unsynced += written
        if self._unsynced >= SYNC_EVERY:
            self.sync()
        return written

    def sync(self) -> None:
        """Returns when everything written so far survives a power cut."""
        self.flush()
        os.fsync(self.fileno())
        self._unsynced = 0


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


class Outputs:
    """The place for the files of one job."""

    def __init__(self, data_dir: str | Path, job_id: str) -> None:
        self._files = Path(data_dir) / "files"
        self._job_id = job_id

    def name(self, suffix: str = "") -> str:
        """What a result calls the output with this suffix: relative to the data directory."""
        return f"files/{self._job_id}{suffix}"

    @contextmanager
    def file(self, suffix: str) -> Iterator[OutputFile]:
        """A file to write; it appears as `name(suffix)` when the block ends well."""
        with self._temporary() as temporary:
            with OutputFile(temporary) as output:
                yield output
                output.sync()
            temporary.replace(self._files / f"{self._job_id}{suffix}")

    @contextmanager
    def directory(self) -> Iterator["OutputDirectory"]:
        """A directory to fill; it appears as `name()` when the block ends well."""
        with self._temporary() as temporary:
            output = OutputDirectory(temporary)
            yield output
            output.sync()
            final = self._files / self._job_id
            if final.exists():  # of an earlier run; a directory cannot be replaced in one step
                final.rename(temporary.with_name(temporary.name + ".old"))
            temporary.rename(final)

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A free name beside the final ones; what still has it at the end is removed."""
        self._files.mkdir(mode=0o700, parents=True, exist_ok=True)
        prefix = f".{self._job_id}."
        path = self._files / (prefix + os.urandom(4).hex())
        try:
            yield path
        finally:
            remove(path)
        # What a killed attempt left behind, or this one put aside: it has just ended well.
        for stale in self._files.glob(prefix + "*"):
            remove(stale)
        sync_directory(self._files)


class OutputDirectory:
    """A new directory whose entries have names somebody else chose, checked by the caller."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._directories = [path]
        path.mkdir(mode=0o700)

    def make_directory(self, parts: list[str]) -> None:
        """Makes it with all above it; OSError (of the FileExistsError kind) if a file is there."""
        path = self._path
        for part in parts:
            path /= part
            if not path.is_dir():
                path.mkdir(mode=0o700)
                self._directories.append(path)

    @contextmanager
    def file(self, parts: list[str]) -> Iterator[OutputFile]:
        """A file to write; FileExistsError when there is one of this name."""
        self.make_directory(parts[:-1])
        with OutputFile(self._path.joinpath(*parts)) as output:
            yield output
            output.sync()

    def sync(self) -> None:
        """Brings the names of all files to stable storage."""
        for path in self._directories:
            sync_directory(path)


def remove(path: Path) -> None:
    """Removes a file or a directory with all that is in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
