"""Server-Sent Events: how they are written, and when silence is broken."""

import msgspec
import trio

from ..service import Subscription
from ..storage.watching import Changes

MEDIA_TYPE = "text/event-stream"
SILENCE = 15.0
"""Seconds of silence after which a comment is sent, so that no proxy thinks us dead."""

PING = b": ping\n\n"


def event(id_: int, name: str, data: object) -> bytes:
    """One event; JSON has no line breaks."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (id_, name.encode(), msgspec.json.encode(data))


class Pages:
    """Pages of changes until the subscription ends; None after each SILENCE."""

    def __init__(self, changes: Subscription) -> None:
        self._changes = changes

    def __aiter__(self) -> "Pages":
        return self

    async def __anext__(self) -> Changes | None:
        with trio.move_on_after(SILENCE):
            return await anext(self._changes)
        return None
