"""`process_file`: the jail, the operations, and what is left when it stops halfway."""

import hashlib
import os
import socket
import stat
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from trio_jobs.builtin import process_file
from trio_jobs.builtin.contents import Count, count
from trio_jobs.builtin.files import open_upload
from trio_jobs.builtin.outputs import Outputs
from trio_jobs.config import Settings
from trio_jobs.errors import Fail, InvalidInput

from .conftest import JOB_ID, FakeCtx, decode, on_the_wire


def run(settings: Settings, payload: dict[str, Any], ctx: FakeCtx | None = None) -> Any:
    handler = process_file.handler(settings)
    return on_the_wire(handler.run(decode(handler, payload), ctx or FakeCtx()))


def upload(settings: Settings, body: bytes, **params: str) -> Any:
    handler = process_file.handler(settings)
    return on_the_wire(handler.run(handler.decode_params(params), FakeCtx(upload=body)))


def put(settings: Settings, name: str, content: bytes) -> Path:
    path = Path(settings.files_dir or "") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def left_behind(settings: Settings) -> list[str]:
    return sorted(path.name for path in Path(settings.data_dir).glob("files/*"))


# ── the jail ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "../secret", "a/../../secret", "..", ".", "", "a//b", "a/", "./a"),
        *("a/./b", "a\0b", "a" * 5_000),
    ],
)
def test_a_path_out_of_the_directory_is_refused_at_enqueue(settings: Settings, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(process_file.handler(settings), {"operation": "count", "path": path})
    assert refused.value.pointer == "/path"


def test_no_link_leads_out_of_the_directory(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    inside = put(settings, "real", b"x").parent
    (inside / "file-link").symlink_to(tmp_path / "outside" / "secret")
    (inside / "dir-link").symlink_to(tmp_path / "outside")
    (inside / "inner-link").symlink_to(inside / "real")
    for path in ("file-link", "dir-link/secret", "inner-link"):
        with pytest.raises(Fail, match="symbolic link"):
            run(settings, {"operation": "count", "path": path})


def test_only_regular_files_are_read(settings: Settings) -> None:
    inside = put(settings, "dir/file", b"x").parent.parent
    os.mkfifo(inside / "fifo")  # opening it would wait for a writer for ever
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(inside)  # socket paths are short
        server.bind("socket")
        os.chdir(here)
        for path in ("fifo", "socket", "dir"):
            with pytest.raises(Fail, match="not a regular file"):
                run(settings, {"operation": "count", "path": path})


@pytest.mark.parametrize("path", ["missing", "missing/file", "a" * 300])
def test_a_missing_file_fails_for_good(settings: Settings, path: str) -> None:
    with pytest.raises(Fail, match=r"no file|too long"):
        run(settings, {"operation": "count", "path": path})


def test_a_file_is_no_directory(settings: Settings) -> None:
    put(settings, "file", b"x")
    with pytest.raises(Fail, match="else than a directory"):
        run(settings, {"operation": "count", "path": "file/file"})


def test_no_descriptor_leaks(settings: Settings) -> None:
    put(settings, "a/b/file", b"x")
    run(settings, {"operation": "count", "path": "a/b/file"})
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208
    for path in ("a/b/file", "a/b/missing", "a/missing/x", "a/b"):
        for _ in range(3):
            try:
                run(settings, {"operation": "compress", "path": path})
            except Fail:
                continue
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({"operation": "count"}, "/path"),
        ({"operation": "checksum", "path": "a", "algorithm": "crc"}, "/algorithm"),
        ({"operation": "checksum", "path": "a", "width": 3}, ""),
        ({"operation": "thumbnail", "path": "a", "width": 0}, "/width"),
        ({"operation": "thumbnail", "path": "a", "width": 9_999}, "/width"),
        ({"operation": "csv_summary", "path": "a", "delimiter": "\n"}, "/delimiter"),
        ({"operation": "explode", "path": "a"}, "/operation"),
        ({"path": "a"}, ""),
    ],
)
def test_a_wrong_option_is_told_by_its_place(
    settings: Settings, payload: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(process_file.handler(settings), payload)
    assert refused.value.pointer == pointer


def test_without_a_directory_only_uploads_are_taken(settings: Settings) -> None:
    closed = replace(settings, files_dir=None)
    with pytest.raises(InvalidInput, match="no files_dir"):
        decode(process_file.handler(closed), {"operation": "count", "path": "a"})
    assert upload(closed, b"a b", operation="count")["words"] == 2


def test_an_upload_cannot_name_a_file_of_the_server(settings: Settings) -> None:
    put(settings, "file", b"x")
    with pytest.raises(InvalidInput) as refused:
        upload(settings, b"y", operation="count", path="file")
    assert refused.value.pointer == "/path"


# ── checksum and count ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("algorithm", ["sha256", "blake2b", "md5"])
def test_checksums_are_those_of_hashlib(settings: Settings, algorithm: str) -> None:
    content = os.urandom(2_500_001)
    put(settings, "deep/er/file", content)
    result = run(
        settings, {"operation": "checksum", "path": "deep/er/file", "algorithm": algorithm}
    )
    assert result == {
        "operation": "checksum",
        "algorithm": algorithm,
        "checksum": hashlib.new(algorithm, content).hexdigest(),
        "size": len(content),
    }
    assert upload(settings, content, operation="checksum", algorithm=algorithm) == result


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", (0, 0, 0, 0)),
        (b"\n", (1, 1, 0, 1)),
        (b"a", (1, 1, 1, 1)),
        (b"a b\nc\n", (6, 2, 3, 6)),
        (b"a b\nc", (5, 2, 3, 5)),
        ("grüße an\tdie  welt\r\n".encode(), (22, 1, 4, 20)),
    ],
)
def test_counts_are_what_a_person_would_count(
    settings: Settings, content: bytes, expected: tuple[int, ...]
) -> None:
    result = upload(settings, content, operation="count")
    names = ("bytes", "lines", "words", "characters")
    assert tuple(result[name] for name in names) == expected


@given(st.lists(st.text("ab ü\n\t€", min_size=1).map(str.encode), max_size=6))
def test_a_cut_between_two_reads_counts_nothing_twice(parts: list[bytes]) -> None:
    whole = b"".join(parts)

    def read_in_parts(source: Any) -> Any:
        source.chunks = lambda: iter(parts)
        return source

    with open_upload(whole, lambda: None) as source, open_upload(whole, lambda: None) as cut:
        outputs = Outputs("unused", JOB_ID)
        assert count(Count(), read_in_parts(cut), outputs) == count(Count(), source, outputs)
    assert count_of(whole) == (
        whole.count(b"\n") + (whole[-1:] not in (b"\n", b"")),
        len(whole.split()),
        len(whole.decode()),
    )


def count_of(content: bytes) -> tuple[int, int, int]:
    with open_upload(content, lambda: None) as source:
        result = count(Count(), source, Outputs("unused", JOB_ID))
    return result.lines, result.words, result.characters


# ── stopping halfway ──────────────────────────────────────────────────────────────────────────


def stopping(scope: trio.CancelScope, at: int) -> FakeCtx:
    """A context in whose thread the scope is cancelled at the given checkpoint."""
    calls = iter(range(1, sys.maxsize))

    def checkpoint() -> None:
        if next(calls) == at:
            trio.from_thread.run_sync(scope.cancel)
        trio.from_thread.check_cancelled()

    return FakeCtx(on_checkpoint=checkpoint)


@pytest.mark.parametrize(
    ("operation", "content"),
    [
        ({"operation": "checksum"}, os.urandom(5_000_000)),
        ({"operation": "count"}, b"x" * 5_000_000),
        ({"operation": "compress"}, os.urandom(5_000_000)),
        ({"operation": "compress", "format": "zip"}, os.urandom(5_000_000)),
        ({"operation": "decompress"}, zlib.compress(bytes(5_000_000), wbits=31)),
        ({"operation": "decompress"}, zlib.compress(b"", wbits=31) * 50_000),
        ({"operation": "csv_summary"}, b"a,b\n" * 1_000_000),
        ({"operation": "json_lines_summary"}, b"[" * 5_000_000),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("at", [1, 3])
async def test_a_cancel_stops_within_a_megabyte_and_leaves_nothing(
    settings: Settings, operation: dict[str, Any], content: bytes, at: int
) -> None:
    put(settings, "file", content)
    scope = trio.CancelScope()
    payload = {**operation, "path": "file"}
    with scope:
        await trio.to_thread.run_sync(run, settings, payload, stopping(scope, at))
    assert scope.cancelled_caught
    assert left_behind(settings) == []


def test_an_output_is_complete_private_and_replaced_by_a_second_run(settings: Settings) -> None:
    put(settings, "file.txt", b"first")
    stale = Path(settings.data_dir) / "files" / f".{JOB_ID}.dead"
    stale.mkdir(parents=True)  # as a killed attempt leaves it
    first = run(settings, {"operation": "compress", "path": "file.txt"})
    put(settings, "file.txt", b"second")
    second = run(settings, {"operation": "compress", "path": "file.txt"})
    assert first["file"] == second["file"] == f"files/{JOB_ID}.txt.gz"
    output = Path(settings.data_dir) / second["file"]
    assert zlib.decompress(output.read_bytes(), wbits=31) == b"second"
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert left_behind(settings) == [f"{JOB_ID}.txt.gz"]


def test_a_full_disk_is_tried_again_and_leaves_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    put(settings, "file", b"x")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        run(settings, {"operation": "compress", "path": "file"})
    assert left_behind(settings) == []


MEASURE = """
import resource, sys
from pathlib import Path
from trio_jobs.builtin import process_file
from trio_jobs.config import Settings
from tests_ctx import FakeCtx
settings = Settings(data_dir=sys.argv[1], files_dir=sys.argv[2], max_ratio=2_000)
handler = process_file.handler(settings)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for payload in sys.argv[3:]:
    handler.run(handler.decode(payload.encode()), FakeCtx())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("kind", "operations"),
    [
        ("random", ['{"operation":"checksum","path":"f"}', '{"operation":"compress","path":"f"}']),
        ("one line", ['{"operation":"count","path":"f"}']),
        ("one line", ['{"operation":"json_lines_summary","path":"f"}']),
        ("table", ['{"operation":"csv_summary","path":"f"}']),
        ("gzip", ['{"operation":"decompress","path":"f"}']),
        ("zip", ['{"operation":"decompress","path":"f","format":"zip"}']),
    ],
)
def test_memory_stays_flat_at_any_size(
    settings: Settings, tmp_path: Path, kind: str, operations: list[str]
) -> None:
    size = {"one line": 1_000_000_000, "table": 100_000_000}.get(kind, 200_000_000)
    piece = {"random": os.urandom(1_000_000), "table": b"1,2.5,2024-01-01,word\n" * 50_000}.get(
        kind, b"x" * 1_000_000
    )
    path = put(settings, "f", b"")
    with path.open("wb") as file:
        for _ in range(size // len(piece)):
            file.write(piece)
    if kind in ("gzip", "zip"):
        made = run(
            replace(settings, data_dir=str(tmp_path / "made")),
            {"operation": "compress", "path": "f", "format": kind},
        )
        (tmp_path / "made" / made["file"]).replace(path)
    (tmp_path / "tests_ctx.py").write_text(
        "class FakeCtx:\n    job_id, upload = 'job', None\n    def checkpoint(self): pass\n"
    )
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, settings.data_dir, str(path.parent), *operations],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(measured.stdout) < 40_000  # kB
