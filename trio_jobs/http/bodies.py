"""JSON bodies of the calls that are not for new jobs."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec
import trio

from ..errors import TooLarge
from ..storage.records import is_json
from .call import Call
from .orders import decode
from .problems import UnsupportedMediaType

T = TypeVar("T")

JSON = "application/json"
LARGE = 65_536  # bytes


async def off_loop(size: int, read: Callable[[], T]) -> T:
    """`read()`, in a thread when what it reads is large: others go on meanwhile."""
    return await trio.to_thread.run_sync(read) if size > LARGE else read()


async def json_body(call: Call, decoder: "msgspec.json.Decoder[T]", limit: int | None = None) -> T:
    """The body as what `decoder` makes of it; it may have `limit` bytes, or `max_body`."""
    if not is_json(call.content_type):
        raise UnsupportedMediaType(
            f"This call takes Content-Type: application/json, not {call.content_type or 'nothing'}."
        )
    limit = limit or call.settings.max_body
    if len(call.body) > limit:
        raise TooLarge(body_too_large(limit))
    return await off_loop(len(call.body), partial(decode, decoder, call.body))


def body_too_large(limit: int) -> str:
    return f"the body is larger than the limit (max_body): {limit:,} bytes"
