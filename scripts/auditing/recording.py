"""What strace noted of the files below a directory, as a disk."""

from collections import Counter
from collections.abc import Callable
from math import inf
from pathlib import Path

from .disk import File, Folder, Truncate, Write
from .strace import Call, Unusable

SCRATCH = ("-shm", ".lock", ".workers")
"""How names end that are of no use to who starts again; SQLite makes the index of a WAL anew."""


class Recording:
    """The directory `top`, empty at first. What is done in a way that is not known is refused."""

    def __init__(self, top: Path) -> None:
        self.folder = Folder()
        self.moments: list[float] = []  # when something began or ended
        self._counts = Counter[str]()
        self._top = top
        self._known: dict[str, Callable[[Call, Path], None]] = {
            "open": self._open,
            "openat": self._open,
            "mkdir": self._mkdir,
            "mkdirat": self._mkdir,
            "unlink": self._unlink,
            "unlinkat": self._unlink,
            "pwrite64": self._write,
            "ftruncate": self._truncate,
            "fsync": self._sync,
            "fdatasync": self._sync,
            "mmap": self._map,
        }

    def summary(self) -> str:
        """Which calls it consists of."""
        return ", ".join(f"{n:,} {name}" for name, n in self._counts.most_common())

    def take(self, call: Call) -> None:
        """The next call that has ended."""
        for path in filter(self._is_ours, call.paths):
            if call.name not in self._known or b">(deleted)" in call.arguments:
                raise Unusable(f"{call.name} of {path} is not understood: {call.arguments[:200]!r}")
            self._known[call.name](call, path)
            self._counts[call.name] += 1
            self.moments += [time for time in (call.span.began, call.span.ended) if time < inf]

    def _is_ours(self, path: Path) -> bool:
        if not path.is_relative_to(self._top):
            return False
        return not any(part.endswith(SCRATCH) for part in path.relative_to(self._top).parts)

    def files(self, path: Path) -> list[File]:
        """All that ever had this name, a path from the top."""
        names = self._parent(self._top / path).history.changes
        return [one.node for one in names if one.name == path.name and isinstance(one.node, File)]

    def _file(self, path: Path) -> File:
        node = self._node(path)
        if not isinstance(node, File):
            raise Unusable(f"{path} is no file that was made here")
        return node

    def _node(self, path: Path) -> File | Folder | None:
        node: File | Folder | None = self.folder
        for part in path.relative_to(self._top).parts:
            node = node.names.get(part) if isinstance(node, Folder) else None
        return node

    def _parent(self, path: Path) -> Folder:
        node = self._node(path.parent)
        if not isinstance(node, Folder):
            raise Unusable(f"{path.parent} is no directory that was made here")
        return node

    def _open(self, call: Call, path: Path) -> None:
        if b"O_TRUNC" in call.arguments:
            raise Unusable(f"{path} was emptied when it was opened")
        if b"O_CREAT" in call.arguments and self._node(path) is None:
            self._parent(path).change(call.span, path.name, File())

    def _mkdir(self, call: Call, path: Path) -> None:
        self._parent(path).change(call.span, path.name, Folder())

    def _unlink(self, call: Call, path: Path) -> None:
        self._parent(path).change(call.span, path.name, None)

    def _write(self, call: Call, path: Path) -> None:
        data = call.data if call.result is None else call.data[: call.result]
        self._file(path).history.changes.append(Write(call.span, call.last, data))

    def _truncate(self, call: Call, path: Path) -> None:
        self._file(path).history.changes.append(Truncate(call.span, call.last))

    def _sync(self, call: Call, path: Path) -> None:
        node = self._node(path)
        if node is not None:
            node.history.syncs.append(call.span)

    def _map(self, call: Call, path: Path) -> None:
        if b"PROT_WRITE" in call.arguments and b"MAP_SHARED" in call.arguments:
            raise Unusable(f"{path} is written through a mapping")
