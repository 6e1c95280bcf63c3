"""JSON bodies of the calls that are not for new jobs."""

from typing import TypeVar

import msgspec

from ..errors import TooLarge
from ..storage.records import is_json
from .call import Call
from .orders import decode
from .problems import UnsupportedMediaType

T = TypeVar("T")

JSON = "application/json"


def json_body(call: Call, decoder: "msgspec.json.Decoder[T]") -> T:
    """The body as what `decoder` makes of it."""
    if not is_json(call.content_type):
        raise UnsupportedMediaType(
            f"This call takes Content-Type: application/json, not {call.content_type or 'nothing'}."
        )
    if len(call.body) > call.settings.max_body:
        raise TooLarge(body_too_large(call.settings.max_body))
    return decode(decoder, call.body)


def body_too_large(limit: int) -> str:
    return f"the body is larger than the limit (max_body): {limit:,} bytes"
