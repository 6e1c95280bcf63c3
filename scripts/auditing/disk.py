"""A disk as a power cut leaves it: what was synced, and of the rest whatever chance has kept.

What POSIX promises and no more. A write or a new length is safe once an fsync of the file has ended
that began after it; a name, once an fsync of its directory has. Anything else may be there, be
missing, or be there in part, in any order, each sector for itself. A write leaves the bytes beside
it alone, as SQLite's `powersafe_overwrite` has it.
"""

import random
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from .strace import Span

SECTORS = (512, 4096)  # bytes


class Fate:
    """What becomes, in one cut, of what was not synced."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._sector = dice.choice(SECTORS)
        self._luck = dice.choice((0.0, 0.5, 0.9))

    def keeps(self) -> bool:
        return self._dice.random() < self._luck

    def pieces(self, offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        """What is left of a write: all or nothing, its first sectors, or some of them."""
        how = self._dice.choice(("whole", "whole", "first", "some"))
        end = 0
        while end < len(data):
            start, end = end, end + self._sector - (offset + end) % self._sector
            if how == "whole":
                end = len(data)
            if self.keeps():
                yield offset + start, data[start:end]
            elif how == "first":
                return


class Mercy(Fate):
    """All of it is kept."""

    def __init__(self) -> None:
        pass

    def keeps(self) -> bool:
        return True

    def pieces(self, offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        yield offset, data


MERCY = Mercy()


class Change(Protocol):
    """What a call did, and when; there may have been others at the same time."""

    @property
    def span(self) -> Span: ...


@dataclass(frozen=True, slots=True)
class Write:
    """Of a file."""

    span: Span
    offset: int
    data: bytes

    def to(self, content: bytearray, fate: Fate) -> None:
        for offset, data in fate.pieces(self.offset, self.data):
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data


@dataclass(frozen=True, slots=True)
class Truncate:
    """Of a file."""

    span: Span
    size: int

    def to(self, content: bytearray, fate: Fate) -> None:
        if fate.keeps():
            del content[self.size :]
            content.extend(bytes(self.size - len(content)))


@dataclass(frozen=True, slots=True)
class Name:
    """Of a directory: it got this name, or with no node lost it."""

    span: Span
    name: str
    node: "Node | None"

    def to(self, content: "dict[str, Node]", fate: Fate) -> None:
        if not fate.keeps():
            return
        if self.node is None:
            content.pop(self.name, None)
        else:
            content[self.name] = self.node


C = TypeVar("C", bound=Change)


class History(Generic[C]):
    """What happened to one file or directory. Told in the order in which calls ended."""

    def __init__(self) -> None:
        self.changes: list[C] = []
        self.syncs: list[Span] = []

    def before(self, cut: float) -> tuple[Sequence[C], Sequence[C]]:
        """What had happened: the safe part, and the rest."""
        synced = max((sync.began for sync in self.syncs if sync.ended < cut), default=-1)
        safe = bisect_left(self.changes, synced, key=lambda change: change.span.ended)
        return self.changes[:safe], [one for one in self.changes[safe:] if one.span.began < cut]


class File:
    """A regular file."""

    def __init__(self) -> None:
        self.history = History[Write | Truncate]()
        self._solid, self._applied = bytearray(), 0  # the last cut's, as cuts come in their order

    def at(self, cut: float, fate: Fate) -> bytearray:
        """What is in it after the cut."""
        safe, rest = self.history.before(cut)
        if len(safe) < self._applied:
            self._solid, self._applied = bytearray(), 0
        for change in safe[self._applied :]:
            change.to(self._solid, MERCY)
        self._applied = len(safe)
        content = self._solid.copy()
        for change in rest:
            change.to(content, fate)
        return content


class Folder:
    """A directory."""

    def __init__(self) -> None:
        self.history = History[Name]()
        self.names: dict[str, Node] = {}  # as programs see them now

    def change(self, span: Span, name: str, node: "Node | None") -> None:
        self.history.changes.append(change := Name(span, name, node))
        change.to(self.names, MERCY)

    def at(self, cut: float, fate: Fate) -> "dict[str, Node]":
        """What is in it after the cut."""
        content: dict[str, Node] = {}
        safe, rest = self.history.before(cut)
        for change in safe:
            change.to(content, MERCY)
        for change in rest:
            change.to(content, fate)
        return content


Node = File | Folder


def contents(folder: Folder, cut: float, fate: Fate) -> Mapping[Path, bytes | None]:
    """All files after the cut, by their paths in `folder`, and all directories (None)."""
    found: dict[Path, bytes | None] = {}
    for name, node in folder.at(cut, fate).items():
        if isinstance(node, File):
            found[Path(name)] = bytes(node.at(cut, fate))
        else:
            found[Path(name)] = None
            below = contents(node, cut, fate)
            found.update((Path(name) / path, data) for path, data in below.items())
    return found


def put(found: Mapping[Path, bytes | None], place: Path) -> None:
    """Makes all of `found` in the directory `place`."""
    for path, data in found.items():
        if data is None:
            (place / path).mkdir()
        else:
            (place / path).write_bytes(data)
