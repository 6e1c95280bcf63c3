"""`compress` and `decompress`: gzip and zip.

An archive from somebody else is a program for filling a disk. What comes out is counted while it
is written, against `max_expanded` (bytes), `max_ratio` (to the archive's own size) and
`max_entries`; and its names become paths only inside the directory of the job, part by part.
"""

import gzip
import stat
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from ..config import Settings
from ..errors import Fail
from .files import CHUNK, FileInput, Source
from .outputs import OutputDirectory, OutputFile, Outputs, safe_suffix

ALWAYS_ALLOWED = 1_000_000
"""Bytes that may come out at any ratio: small files of zeros are no attack."""
MAX_DEPTH = 32
LISTED = 100
"""Files of an archive that the result names; all of them are in the directory."""
DIRECTORY_ENTRY = 300
"""Bytes per entry that an archive's directory may take in memory, names included."""


class Compress(FileInput, frozen=True, tag="compress"):
    """Makes a `.gz`, or a `.zip` with the one file in it."""

    format: Literal["gzip", "zip"] = "gzip"


class Decompress(FileInput, frozen=True, tag="decompress"):
    """The reverse; a zip becomes a directory."""

    format: Literal["gzip", "zip"] = "gzip"


class CompressResult(msgspec.Struct, frozen=True, tag_field="operation", tag="compress"):
    """`file` is relative to the data directory; sizes are in bytes."""

    file: str
    size: int
    original_size: int


class Expanded(msgspec.Struct, frozen=True):
    """One file that came out; `size` in bytes."""

    file: str
    size: int


class DecompressResult(msgspec.Struct, frozen=True, tag_field="operation", tag="decompress"):
    """`file` is the output (of a zip: its directory), relative to the data directory.

    `files` names the first hundred of `entries`; `size` is of all together, in bytes.
    """

    file: str
    size: int
    entries: int
    files: list[Expanded]


@dataclass
class Budget:
    """What an archive may still expand to."""

    left: int
    ratio: int

    @classmethod
    def of(cls, archive: Source, settings: Settings) -> "Budget":
        by_ratio = max(ALWAYS_ALLOWED, archive.size * settings.max_ratio)
        return cls(min(by_ratio, settings.max_expanded), settings.max_ratio)

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise Fail(
                "The archive expands to more than this server allows "
                f"(max_expanded, or max_ratio: {self.ratio} times its size)."
            )


def compress(options: Compress, source: Source, outputs: Outputs) -> CompressResult:
    """One pass in flat memory; the output is the same whenever the input is."""
    suffix = safe_suffix(source.file_name, "") + ".gz" if options.format == "gzip" else ".zip"
    with outputs.file(suffix) as output:
        size = (_gzip if options.format == "gzip" else _zip)(source, output)
        output.flush()
        return CompressResult(outputs.name(suffix), output.tell(), size)


def _gzip(source: Source, output: OutputFile) -> int:
    size = 0
    # not GzipFile: it writes its trailer even when it is thrown away
    compressor = zlib.compressobj(6, zlib.DEFLATED, wbits=31)
    for chunk in source.chunks():
        size += len(chunk)
        output.write(compressor.compress(chunk))
    output.write(compressor.flush())
    return size


def _zip(source: Source, output: OutputFile) -> int:
    size = 0
    entry = zipfile.ZipInfo(source.file_name)  # with zip's first date, 1980-01-01
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    with zipfile.ZipFile(output, "w") as archive, archive.open(entry, "w", force_zip64=True) as to:
        for chunk in source.chunks():
            size += len(chunk)
            to.write(chunk)
    return size


def decompressor(
    settings: Settings, checkpoint: Callable[[], None]
) -> Callable[[Decompress, Source, Outputs], DecompressResult]:
    """`decompress` within the limits of the settings; Fail for what is broken or too much."""

    def decompress(options: Decompress, source: Source, outputs: Outputs) -> DecompressResult:
        budget = Budget.of(source, settings)
        try:
            if options.format == "gzip":
                return _gunzip(source, outputs, budget, checkpoint)
            return _unzip(source, outputs, budget, checkpoint, settings.max_entries)
        except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
            raise Fail(f"This is not a whole {options.format} file: {error}") from error

    return decompress


def _gunzip(
    source: Source, outputs: Outputs, budget: Budget, checkpoint: Callable[[], None]
) -> DecompressResult:
    if source.size == 0:
        raise EOFError("it is empty")
    suffix = safe_suffix(source.file_name.removesuffix(".gz"), ".bin")
    with outputs.file(suffix) as output, gzip.GzipFile(fileobj=source) as archive:
        size = _copy(archive, output, budget, checkpoint)
    name = outputs.name(suffix)
    return DecompressResult(name, size, 1, [Expanded(name, size)])


def _unzip(
    source: Source,
    outputs: Outputs,
    budget: Budget,
    checkpoint: Callable[[], None],
    max_entries: int,
) -> DecompressResult:
    too_many = Fail(f"The archive has more than {max_entries} entries (max_entries).")
    source.largest_read = max(2 * CHUNK, max_entries * DIRECTORY_ENTRY)
    source.too_large = too_many
    listed: list[Expanded] = []
    total = 0
    with zipfile.ZipFile(source) as archive, outputs.directory() as output:
        entries = archive.infolist()
        if len(entries) > max_entries:
            raise too_many
        for entry in entries:
            checkpoint()
            parts = safe_parts(entry)
            if entry.is_dir():
                _claim(output, parts)
                continue
            size = _extract(archive, entry, output, parts, budget, checkpoint)
            total += size
            if len(listed) < LISTED:
                listed.append(Expanded("/".join([outputs.name(), *parts]), size))
    return DecompressResult(outputs.name(), total, len(entries), listed)


def _claim(output: OutputDirectory, parts: list[str]) -> None:
    try:
        output.make_directory(parts)
    except (FileExistsError, NotADirectoryError):
        raise Fail("Two entries of the archive have the same name.") from None


def _extract(
    archive: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    output: OutputDirectory,
    parts: list[str],
    budget: Budget,
    checkpoint: Callable[[], None],
) -> int:
    _claim(output, parts[:-1])
    try:
        with archive.open(entry) as data, output.file(parts) as file:
            return _copy(data, file, budget, checkpoint)
    except (FileExistsError, NotADirectoryError):
        raise Fail("Two entries of the archive have the same name.") from None


def safe_parts(entry: zipfile.ZipInfo) -> list[str]:
    """The parts of an entry's name, each of which is safe as a file name; else Fail."""
    parts = entry.filename.removesuffix("/").split("/")
    if entry.flag_bits & 0x1:
        raise Fail("The archive is encrypted.")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # bzip2 and LZMA expand without a bound in zipfile: 4 kB become 90 MB in one call
        raise Fail("The archive uses a compression other than deflate.")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Fail("The archive has an entry that is neither a file nor a directory.")
    if len(parts) > MAX_DEPTH:
        raise Fail(f"The archive has directories more than {MAX_DEPTH} deep.")
    if not all(_is_safe(part) for part in parts):
        raise Fail(f"The archive has an entry with an unsafe name: {entry.filename[:100]!r}.")
    return parts


def _is_safe(part: str) -> bool:
    return (
        part not in ("", ".", "..")
        and part.isprintable()
        and "\\" not in part
        and len(part.encode("utf-8", "replace")) <= 255
    )


def _copy(data: Any, output: OutputFile, budget: Budget, checkpoint: Callable[[], None]) -> int:
    size = 0
    while chunk := data.read(CHUNK):
        checkpoint()
        budget.spend(len(chunk))
        size += len(chunk)
        output.write(chunk)
    return size
