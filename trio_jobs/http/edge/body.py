"""The body of a request, taken out of the bytes that come: strict, bounded, no I/O.

Both classes have `done` and `feed(data) -> (body, rest)`. What `feed` gives back as `rest`
comes again, in front of the next bytes; after `done` it belongs to the next request.
"""

import re

from .reply import Refusal

MAX_CHUNK_LINE = 1_024
MAX_OVERHEAD = 16_384  # extensions and trailers of one body, all together
CHUNKS_AT_ONCE = 1_000  # one-byte chunks must not hold the loop: about a millisecond

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:;[\t !-~\x80-\xff]*)?)\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n")


class LengthBody:
    """A body of a known length."""

    __slots__ = ("done", "remaining")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.done = length == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take what belongs to the body."""
        if len(data) < self.remaining:
            self.remaining -= len(data)
            return data, b""
        body, rest = data[: self.remaining], data[self.remaining :]
        self.remaining = 0
        self.done = True
        return body, rest


class ChunkedBody:
    """A body in chunks (RFC 9112 §7.1). Trailers are checked, bounded and dropped."""

    __slots__ = ("_chunk", "_in_trailers", "_overhead", "done")

    def __init__(self) -> None:
        self.done = False
        self._chunk = 0  # bytes left of the chunk with its CRLF; 0: a chunk line comes next
        self._in_trailers = False
        self._overhead = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take whole chunks and parts of chunks. Raises Refusal at the first wrong byte."""
        parts: list[bytes] = []
        at = 0
        while len(parts) < CHUNKS_AT_ONCE and not self._in_trailers:
            if self._chunk == 0:
                line = _CHUNK_LINE.match(data, at, at + MAX_CHUNK_LINE)
                if line is None:
                    self._check_unfinished(data, at)
                    break
                at = line.end()
                self._charge(len(line[2]))
                size = int(line[1], 16)
                self._in_trailers = size == 0
                self._chunk = size + 2
            elif self._chunk > 2:
                part = data[at : at + self._chunk - 2]
                if not part:
                    break
                parts.append(part)
                at += len(part)
                self._chunk -= len(part)
            else:
                end = data[at : at + 2]
                if end != b"\r\n":
                    if b"\r\n".startswith(end):
                        break
                    raise Refusal("bad-framing", "a chunk is not followed by CR LF")
                at += 2
                self._chunk = 0
        if self._in_trailers:
            at = self._skip_trailers(data, at)
        return b"".join(parts), data[at:]

    def _skip_trailers(self, data: bytes, at: int) -> int:
        while not self.done:
            end = data.find(b"\n", at)
            if (len(data) if end < 0 else end) - at > MAX_CHUNK_LINE:
                raise Refusal("bad-framing", "a trailer is too long")
            if end < 0:
                break
            if data[at : end + 1] == b"\r\n":
                self.done = True
            elif _TRAILER.fullmatch(data, at, end + 1) is None:
                raise Refusal("bad-framing", "a trailer is not valid")
            else:
                self._charge(end + 1 - at)
            at = end + 1
        return at

    def _check_unfinished(self, data: bytes, at: int) -> None:
        line = data[at : at + MAX_CHUNK_LINE]
        if b"\n" in line or len(line) == MAX_CHUNK_LINE or not _may_become_line(line):
            raise Refusal("bad-framing", "a chunk's size is not valid")

    def _charge(self, size: int) -> None:
        self._overhead += size
        if self._overhead > MAX_OVERHEAD:
            raise Refusal("bad-framing", "chunk extensions and trailers are too long")


_UNFINISHED_LINE = re.compile(rb"(?:[0-9A-Fa-f]{1,15}(?:;[\t !-~\x80-\xff]*)?\r?)?")


def _may_become_line(line: bytes) -> bool:
    return _UNFINISHED_LINE.fullmatch(line) is not None
