"""`thumbnail` of process_file."""

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from trio_jobs.builtin import process_file
from trio_jobs.config import Settings
from trio_jobs.errors import Fail

from .conftest import JOB_ID, FakeCtx, on_the_wire


def thumbnail(settings: Settings, body: bytes, **params: str) -> Any:
    handler = process_file.handler(settings)
    params = {"operation": "thumbnail", **params}
    return on_the_wire(handler.run(handler.decode_params(params), FakeCtx(upload=body)))


def picture(mode: str = "RGB", size: tuple[int, int] = (640, 320), **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, options.pop("format", "PNG"), **options)
    return buffer.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A few bytes that say they are a picture of this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(1_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("format_", ["png", "jpeg", "webp"])
def test_a_picture_becomes_small(settings: Settings, format_: str) -> None:
    result = thumbnail(settings, picture(), width="64", height="64", format=format_)
    suffix = ".jpg" if format_ == "jpeg" else f".{format_}"
    assert result["file"] == f"files/{JOB_ID}{suffix}"
    path = Path(settings.data_dir) / result["file"]
    assert result["size"] == path.stat().st_size
    with Image.open(path) as small:
        assert (small.size, small.format) == ((64, 32), format_.upper())
    assert (result["width"], result["height"]) == (64, 32)
    assert (result["original_format"], result["original_width"]) == ("png", 640)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("format_", ["png", "jpeg", "webp"])
def test_pictures_of_every_mode_are_taken(settings: Settings, mode: str, format_: str) -> None:
    assert thumbnail(settings, picture(mode), format=format_)["width"] == 256


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "WEBP", "BMP"])
def test_pictures_of_every_format_are_taken(settings: Settings, kind: str) -> None:
    assert thumbnail(settings, picture(format=kind))["original_format"] == kind.lower()


def test_a_small_picture_is_not_made_larger(settings: Settings) -> None:
    assert thumbnail(settings, picture(size=(10, 20)))["height"] == 20


def test_a_camera_held_sideways_gives_an_upright_thumbnail(settings: Settings) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    body = picture(format="JPEG", exif=exif)
    result = thumbnail(settings, body, width="32", height="64")
    assert (result["width"], result["height"]) == (32, 64)
    with Image.open(Path(settings.data_dir) / result["file"]) as small:
        assert not small.getexif()


@pytest.mark.parametrize("side", [8_000, 10_000, 20_000, 60_000])
def test_a_bomb_is_refused_before_it_is_decoded(settings: Settings, side: int) -> None:
    with pytest.raises(Fail, match="more than 50000000 pixels"):
        thumbnail(settings, png_claiming(side, side))


@pytest.mark.parametrize(
    "body",
    [b"", b"text", picture()[:100], picture(format="JPEG")[:400], png_claiming(100, 100)],
    ids=range(5),
)
def test_what_is_no_picture_fails_for_good(settings: Settings, body: bytes) -> None:
    with pytest.raises(Fail, match="The picture"):
        thumbnail(settings, body)


def test_no_file_starts_another_program(settings: Settings) -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(Fail, match="none of PNG, JPEG"):
        thumbnail(settings, eps)


@hypothesis_settings(deadline=None)
@given(st.data(), st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP"]))
def test_no_broken_picture_is_an_accident(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    body = bytearray(picture(size=(20, 10), format=kind))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    settings = Settings(data_dir=str(tmp_path_factory.mktemp("data")))
    try:
        thumbnail(settings, bytes(body))
    except Fail:
        assert not list(Path(settings.data_dir).glob("files/*"))


def test_without_pillow_the_operator_learns_what_to_install(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = picture()
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(Fail, match=r"pip install 'trio-jobs\[thumbnails\]'"):
        thumbnail(settings, body)
