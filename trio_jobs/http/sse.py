"""Server-Sent Events: how they are written, and when silence is broken."""

import msgspec
import trio

from ..service import Service, Subscription
from ..storage.watching import Changes

MEDIA_TYPE = "text/event-stream"
SILENCE = 15.0
"""Seconds of silence after which a comment is sent, so that no proxy thinks us dead."""

PING = b": ping\n\n"


def event(id_: int, name: str, data: object) -> bytes:
    """One event; JSON has no line breaks."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (id_, name.encode(), msgspec.json.encode(data))


class Pages:
    """Pages of changes until the subscription ends, or the caller is not welcome any more.

    None when nothing was written for SILENCE: changes that are none of the caller's business come
    with pages, but break no silence.
    """

    def __init__(self, changes: Subscription, service: Service) -> None:
        self._changes = changes
        self._service = service
        self._heard_at = trio.current_time()

    def __aiter__(self) -> "Pages":
        return self

    async def __anext__(self) -> Changes | None:
        page: Changes | None = None
        with trio.move_on_at(self._heard_at + SILENCE):
            while page is None:
                page = self._mine(await anext(self._changes))
        self._heard_at = trio.current_time()
        if not await self._service.is_welcome():
            raise StopAsyncIteration
        return page

    def _mine(self, page: Changes) -> Changes | None:
        """What of the page is the caller's business; None: nothing."""
        changes = [one for one in page.changes if self._service.sees(one.type, one.queue)]
        if page.changes and not changes and page.complete:
            return None
        return page._replace(changes=changes)
