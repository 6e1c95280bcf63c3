"""`thumbnail`: a small picture of a picture. Needs Pillow, the extra `trio-jobs[thumbnails]`."""

import io
import struct
from typing import IO, Annotated, Any, Literal, cast

import msgspec

from ..errors import Fail
from .files import FileInput, Source
from .outputs import Outputs

MAX_SOURCE = 100_000_000
MAX_PIXELS = 50_000_000
"""Of the original: 200 MB when decoded. A few kB of PNG can claim to be a thousand times that."""
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
"""What is decoded. Not, for one, EPS: Pillow would start Ghostscript."""

_ORIENTATION = 0x0112  # the EXIF tag for how the camera was held
_TURNED = (5, 6, 7, 8)

Side = Annotated[int, msgspec.Meta(ge=1, le=2_048)]


class Thumbnail(FileInput, frozen=True, tag="thumbnail"):
    """Fits the picture into `width` by `height` pixels; it is never made larger."""

    width: Side = 256
    height: Side = 256
    format: Literal["png", "jpeg", "webp"] = "png"


class ThumbnailResult(msgspec.Struct, frozen=True, tag_field="operation", tag="thumbnail"):
    """`file` is relative to the data directory; sides are in pixels, `size` in bytes."""

    file: str
    size: int
    format: str
    width: int
    height: int
    original_format: str
    original_width: int
    original_height: int


def thumbnail(options: Thumbnail, source: Source, outputs: Outputs) -> ThumbnailResult:
    """Fail when it is no picture of a known format, broken, or too large to decode."""
    try:
        from PIL import Image
    except ImportError:
        raise Fail(
            "This server cannot make thumbnails: Pillow is not installed. "
            "The operator can add it with: pip install 'trio-jobs[thumbnails]'"
        ) from None
    if source.size > MAX_SOURCE:
        raise Fail(f"The picture has more than {MAX_SOURCE} bytes.")
    too_large = Fail(f"The picture has more than {MAX_PIXELS} pixels.")
    try:
        # Reads no more than the head: the size is known before anything is decoded.
        with Image.open(cast(IO[bytes], source), formats=FORMATS) as picture:
            width, height, kind = picture.width, picture.height, str(picture.format).lower()
            if width * height > MAX_PIXELS:
                raise too_large
            small = _shrink(picture, options)
            encoded = io.BytesIO()
            small.save(encoded, options.format)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise too_large from None
    except (SyntaxError, ValueError, EOFError, IndexError, struct.error) as error:
        raise Fail(f"The picture is broken: {error}") from error
    except OSError as error:
        if error.errno is not None:  # the disk's, not the picture's
            raise
        raise Fail(f"The picture cannot be read: {_plainly(error)}") from error
    suffix = ".jpg" if options.format == "jpeg" else f".{options.format}"
    with outputs.file(suffix) as output:
        output.write(encoded.getbuffer())
    return ThumbnailResult(
        outputs.name(suffix),
        encoded.getbuffer().nbytes,
        options.format,
        small.width,
        small.height,
        kind,
        width,
        height,
    )


def _shrink(picture: Any, options: Thumbnail) -> Any:
    from PIL import ImageOps

    box = options.width, options.height
    if picture.getexif().get(_ORIENTATION) in _TURNED:
        box = box[1], box[0]
    picture.thumbnail(box, reducing_gap=2.0)
    small = ImageOps.exif_transpose(picture)
    if options.format == "jpeg":
        return small.convert("RGB")
    return small.convert("RGBA" if small.has_transparency_data else "RGB")


def _plainly(error: OSError) -> str:
    # "cannot identify image file <Source object at 0x…>" helps nobody
    known = ", ".join(FORMATS)
    return f"it is none of {known}" if "cannot identify" in str(error) else str(error)
