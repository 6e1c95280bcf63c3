"""What a program asked of the kernel, in one order: written down by strace, read here.

strace stops a thread before and after each call until it has noted it. So what one thread does
because another has ended a call (answer after fsync) is noted in that order, too.
"""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

WATCHED = (
    "?write,?pwrite64,?writev,?pwritev,?pwritev2,?sendto,?sendmsg,?sendmmsg,"
    "?fsync,?fdatasync,?ftruncate,?truncate,?fallocate,"
    "?open,?openat,?openat2,?creat,?mkdir,?mkdirat,?mknod,?mknodat,?unlink,?unlinkat,?rmdir,"
    "?rename,?renameat,?renameat2,?link,?linkat,?symlink,?symlinkat,"
    "?mmap,?sendfile,?copy_file_range,?splice,?io_uring_setup"
)
"""Every way to write to a file or to a socket, and to make or remove a name."""

LONGEST = 4_000_000  # bytes of one call that are noted

_LINE = re.compile(
    rb"(\d+) +(?:<\.\.\. \w+ resumed>(?P<rest>.*)|(?P<name>\w+)\((?P<arguments>.*))\n"
)
_RESULT = re.compile(rb"\) += (-?\d+|\?)[^\"=]*$")
_QUOTED = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_DESCRIPTOR = re.compile(rb"(?:\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})+)>")
_UNFINISHED = b" <unfinished ...>"


class Unusable(Exception):
    """The audit proves nothing."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when something went on, in lines of the record; to `inf` if it never ended."""

    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Call:
    """A call that succeeded, or never ended (`result` is None)."""

    span: Span
    name: str
    arguments: bytes
    result: int | None

    @property
    def writes(self) -> bool:
        """Does it carry data to a file or a socket?"""
        return self.name.startswith(("write", "pwrite", "sendto", "sendm"))

    @property
    def file(self) -> str:
        """What its descriptor is: a path, or `socket:[…]`; "" without one."""
        found = _DESCRIPTOR.match(self.arguments)
        return _bytes(found[1]).decode() if found else ""

    @property
    def paths(self) -> list[Path]:
        """All that it names, by a descriptor or in words."""
        if self.writes:
            return [Path(self.file)]
        files = [_bytes(text).decode() for text in _DESCRIPTOR.findall(self.arguments)]
        names = [_bytes(text).decode() for text, _ in _QUOTED.findall(self.arguments)]
        return [Path(*files[:1], name) for name in names] or [Path(file) for file in files]

    @property
    def data(self) -> bytes:
        """The bytes that it was to write."""
        pieces = _QUOTED.findall(self.arguments)
        if any(cut for _, cut in pieces):
            raise Unusable(f"{self.name} wrote more than strace noted")
        return b"".join(_bytes(text) for text, _ in pieces)

    @property
    def last(self) -> int:
        """Its last argument, a number."""
        return int(self.arguments.rpartition(b", ")[2])


def command(program: Sequence[str], record: Path) -> list[str]:
    """How to run `program` so that its calls are in `record`."""
    return [
        *("strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", str(LONGEST)),
        *("-o", str(record), "-e", f"trace={WATCHED}"),
        *program,
    ]


def missing() -> str | None:
    """Why strace cannot be used here; None when it can."""
    try:
        done = subprocess.run(
            command(["true"], Path("/dev/null")), capture_output=True, text=True, timeout=30
        )
    except FileNotFoundError:
        return "needs strace 5.3 or newer (apt-get install strace)"
    if done.returncode == 0:
        return None
    return f"strace does not work here: {done.stderr.strip() or f'exit code {done.returncode}'}"


def calls(record: Path) -> Iterator[Call]:
    """In the order in which they ended; those that never did come last."""
    open_: dict[bytes, tuple[int, str, bytes]] = {}  # thread -> since when, name, arguments
    with record.open("rb") as lines:
        for number, line in enumerate(lines):
            found = _LINE.fullmatch(line)
            if found is None:  # a signal, or the end of a thread
                continue
            thread = found[1]
            if found["name"] is None:
                began, name, arguments = open_.pop(thread)
                arguments += found["rest"]
            else:
                began, name, arguments = number, found["name"].decode(), found["arguments"]
            if arguments.endswith(_UNFINISHED):
                open_[thread] = began, name, arguments.removesuffix(_UNFINISHED)
                continue
            result = _RESULT.search(arguments)
            if result is None:
                raise Unusable(f"strace noted what is not understood: {line[:200]!r}")
            if result[1] == b"?":
                open_[b"%d" % -number] = began, name, arguments[: result.start()]
            elif not result[1].startswith(b"-"):
                span = Span(began, number)
                yield Call(span, name, arguments[: result.start()], int(result[1]))
    for began, name, arguments in open_.values():
        yield Call(Span(began, inf), name, arguments, None)


def _bytes(text: bytes) -> bytes:
    return bytes.fromhex(text.replace(b"\\x", b"").decode())
