"""`checksum` and `count`: what is in a file, byte by byte."""

import hashlib
from typing import Literal

import msgspec

from .files import FileInput, Source
from .outputs import Outputs

# Bytes that continue a character of UTF-8; the others begin one.
_CONTINUING = bytes(range(0x80, 0xC0))
_SPACE = b" \t\n\r\v\f"


class Checksum(FileInput, frozen=True, tag="checksum"):
    """A digest of the file. Use md5 only to compare with somebody's old list."""

    algorithm: Literal["sha256", "blake2b", "md5"] = "sha256"


class ChecksumResult(msgspec.Struct, frozen=True, tag_field="operation", tag="checksum"):
    """`checksum` is in hexadecimal, `size` in bytes."""

    algorithm: str
    checksum: str
    size: int


class Count(FileInput, frozen=True, tag="count"):
    """Bytes, lines, words and characters of the file, as UTF-8."""


class CountResult(msgspec.Struct, frozen=True, tag_field="operation", tag="count"):
    """A last line counts without its newline too. Words stand between ASCII white space."""

    bytes: int
    lines: int
    words: int
    characters: int


def checksum(options: Checksum, source: Source, _outputs: Outputs) -> ChecksumResult:
    """The digest and the size of what was read."""
    digest = hashlib.new(options.algorithm, usedforsecurity=False)
    size = 0
    for chunk in source.chunks():
        digest.update(chunk)
        size += len(chunk)
    return ChecksumResult(options.algorithm, digest.hexdigest(), size)


def count(_options: Count, source: Source, _outputs: Outputs) -> CountResult:
    """Counts in pieces that need not end where a line or a word does."""
    size = newlines = words = characters = 0
    last = b"\n"
    for chunk in source.chunks():
        size += len(chunk)
        newlines += chunk.count(b"\n")
        characters += len(chunk.translate(None, _CONTINUING))
        words += len(chunk.split())
        if last not in _SPACE and chunk[:1] not in _SPACE:
            words -= 1  # the word before the cut goes on after it
        last = chunk[-1:]
    return CountResult(size, newlines + (last != b"\n"), words, characters)
