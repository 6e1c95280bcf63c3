"""JSON bodies of the calls that are not for new jobs."""

from typing import TypeVar

import msgspec

from ..config import Settings
from ..errors import TooLarge
from ..storage.records import is_json
from .jobs import body_too_large
from .orders import decode
from .problems import UnsupportedMediaType

T = TypeVar("T")


def json_body(
    settings: Settings, decoder: "msgspec.json.Decoder[T]", body: bytes, content_type: str
) -> T:
    """The body as what `decoder` makes of it."""
    if not is_json(content_type):
        raise UnsupportedMediaType(
            f"This call takes Content-Type: application/json, not {content_type or 'nothing'}."
        )
    if len(body) > settings.max_body:
        raise TooLarge(body_too_large(settings))
    return decode(decoder, body)
