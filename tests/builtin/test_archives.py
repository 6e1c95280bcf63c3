"""`compress` and `decompress` of process_file, with archives that mean harm."""

import gzip
import io
import os
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_jobs.builtin import process_file
from trio_jobs.config import Settings
from trio_jobs.errors import Fail

from .conftest import JOB_ID, FakeCtx, on_the_wire

CONTENT = b"some text\n" * 50_000 + os.urandom(2_000_000)


def upload(settings: Settings, body: bytes, **params: str) -> Any:
    handler = process_file.handler(settings)
    return on_the_wire(handler.run(handler.decode_params(params), FakeCtx(upload=body)))


def unzip(settings: Settings, body: bytes) -> Any:
    return upload(settings, body, operation="decompress", format="zip")


def gunzip(settings: Settings, body: bytes) -> Any:
    return upload(settings, body, operation="decompress")


def make_zip(entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def output(settings: Settings, name: str) -> Path:
    return Path(settings.data_dir) / name


def nothing_left(settings: Settings) -> bool:
    return list(Path(settings.data_dir).glob("files/*")) == []


@pytest.mark.parametrize("format_", ["gzip", "zip"])
def test_what_went_in_comes_out(settings: Settings, format_: str) -> None:
    packed = upload(settings, CONTENT, operation="compress", format=format_)
    made = output(settings, packed["file"]).read_bytes()
    assert (packed["size"], packed["original_size"]) == (len(made), len(CONTENT))
    if format_ == "gzip":
        assert gzip.decompress(made) == CONTENT
    else:
        with zipfile.ZipFile(io.BytesIO(made)) as archive:
            assert archive.testzip() is None
            assert archive.read("upload") == CONTENT
    unpacked = upload(settings, made, operation="decompress", format=format_)
    assert (unpacked["size"], unpacked["entries"]) == (len(CONTENT), 1)
    assert output(settings, unpacked["files"][0]["file"]).read_bytes() == CONTENT


def test_a_file_of_several_gzip_members_comes_out_whole(settings: Settings) -> None:
    result = gunzip(settings, gzip.compress(b"one") + gzip.compress(b"two"))
    assert output(settings, result["file"]).read_bytes() == b"onetwo"


def test_a_zip_becomes_a_directory(settings: Settings) -> None:
    entries = {"a.txt": b"a", "d/": b"", "d/e/b.txt": b"bb", "ü/ß": b""}
    result = unzip(settings, make_zip(entries))
    assert (result["file"], result["size"], result["entries"]) == (f"files/{JOB_ID}", 3, 4)
    assert result["files"][1] == {"file": f"files/{JOB_ID}/d/e/b.txt", "size": 2}
    root = output(settings, result["file"])
    assert (root / "d/e/b.txt").read_bytes() == b"bb"
    assert (root / "ü/ß").read_bytes() == b""
    again = unzip(settings, make_zip({"other": b"o"}))
    assert [path.name for path in output(settings, again["file"]).iterdir()] == ["other"]
    assert [path.name for path in root.parent.iterdir()] == [JOB_ID]


@pytest.mark.parametrize(
    "name",
    [
        *("../evil", "/evil", "a/../../evil", "a/./b", "a//b", "..\\evil", "a\nb", "a\x7fb", "."),
        *("a" * 300, "/".join("d" * 40)),
    ],
)
def test_no_entry_gets_out_of_the_directory(settings: Settings, name: str) -> None:
    with pytest.raises(Fail, match=r"unsafe name|deep"):
        unzip(settings, make_zip({"ok": b"", name: b"evil"}))
    assert nothing_left(settings)


def test_no_link_comes_out_of_an_archive(settings: Settings) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc")
        archive.writestr("link/passwd", "evil")
    with pytest.raises(Fail, match="neither a file nor a directory"):
        unzip(settings, buffer.getvalue())


@pytest.mark.parametrize("names", [["a", "a"], ["a", "a/b"], ["a/b", "a"], ["a", "a/"]])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_entry_overwrites_another(settings: Settings, names: list[str]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    with pytest.raises(Fail, match="same name"):
        unzip(settings, buffer.getvalue())
    assert nothing_left(settings)


@pytest.mark.parametrize("format_", ["gzip", "zip"])
def test_a_bomb_is_stopped_by_its_ratio(settings: Settings, format_: str) -> None:
    zeros = bytes(20_000_000)
    bomb = gzip.compress(zeros) if format_ == "gzip" else make_zip({"zeros": zeros})
    with pytest.raises(Fail, match="max_ratio: 200"):
        upload(settings, bomb, operation="decompress", format=format_)
    assert nothing_left(settings)


@pytest.mark.parametrize("format_", ["gzip", "zip"])
def test_an_archive_is_stopped_by_its_size(settings: Settings, format_: str) -> None:
    small = replace(settings, max_expanded=1_000_000)
    content = os.urandom(1_000_001)
    packed = gzip.compress(content) if format_ == "gzip" else make_zip({"a": content})
    with pytest.raises(Fail, match="max_expanded"):
        upload(small, packed, operation="decompress", format=format_)
    at_limit = gzip.compress(content[1:]) if format_ == "gzip" else make_zip({"a": content[1:]})
    assert upload(small, at_limit, operation="decompress", format=format_)["size"] == 1_000_000


def test_many_small_entries_share_one_budget(settings: Settings) -> None:
    small = replace(settings, max_expanded=5_000)
    with pytest.raises(Fail, match="max_expanded"):
        unzip(small, make_zip({str(n): b"x" * 100 for n in range(51)}, zipfile.ZIP_STORED))


def test_the_number_of_entries_is_limited(settings: Settings) -> None:
    few = replace(settings, max_entries=10)
    with pytest.raises(Fail, match="max_entries"):
        unzip(few, make_zip({str(n): b"" for n in range(11)}))
    assert unzip(few, make_zip({str(n): b"" for n in range(10)}))["entries"] == 10


def test_a_directory_too_large_for_memory_is_never_read(settings: Settings) -> None:
    entry = make_zip({"a" * 200: b""})
    start = entry.index(b"PK\x01\x02")
    record = entry[start : entry.index(b"PK\x05\x06")]
    directory = record * 20_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, len(directory), start, 0)
    with pytest.raises(Fail, match="max_entries"):
        unzip(settings, entry[:start] + directory + end)


def test_a_result_of_many_entries_stays_small(settings: Settings) -> None:
    result = unzip(settings, make_zip({str(n): b"x" for n in range(150)}))
    assert (result["entries"], result["size"], len(result["files"])) == (150, 150, 100)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_without_a_bound_are_refused(settings: Settings, compression: int) -> None:
    with pytest.raises(Fail, match="other than deflate"):
        unzip(settings, make_zip({"a": bytes(1_000)}, compression))


def test_an_encrypted_archive_says_so(settings: Settings) -> None:
    archive = bytearray(make_zip({"a": b"x"}))
    archive[archive.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(Fail, match="encrypted"):
        unzip(settings, bytes(archive))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not an archive",
        gzip.compress(CONTENT)[:-1],
        gzip.compress(CONTENT)[:1_000],
        gzip.compress(b"x")[:-8] + bytes(8),
        gzip.compress(b"x") + b"trailing",
    ],
    ids=range(6),
)
def test_a_broken_gzip_fails_for_good(settings: Settings, body: bytes) -> None:
    with pytest.raises(Fail, match="not a whole gzip file"):
        gunzip(settings, body)
    assert nothing_left(settings)


@given(st.data())
def test_no_broken_zip_is_an_accident(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    archive = bytearray(make_zip({"a": b"hello" * 100, "d/b": b"x"}))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    del archive[data.draw(st.integers(0, len(archive))) :]
    settings = Settings(data_dir=str(tmp_path_factory.mktemp("data")))
    try:
        unzip(settings, bytes(archive))
    except Fail:
        assert nothing_left(settings)


def test_a_checksum_that_does_not_match_is_noticed(settings: Settings) -> None:
    archive = make_zip({"a": b"hello"}, zipfile.ZIP_STORED)
    with pytest.raises(Fail, match="CRC"):
        unzip(settings, archive.replace(b"hello", b"jello"))


def test_a_deflate_stream_without_gzip_around_it_is_refused(settings: Settings) -> None:
    with pytest.raises(Fail, match="not a whole gzip file"):
        gunzip(settings, zlib.compress(b"x"))
