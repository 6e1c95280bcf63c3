"""Heartbeats over HTTP, from a thread of their own."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import trio

from ..client.blocking_wire import BlockingWire
from ..client.caller import Caller
from ..client.errors import ClientError
from ..client.place import Place
from ..client.wire import Request, run
from ..errors import Unavailable
from ..storage.records import Lease
from . import wire

PATIENCE = 5.0
MOST = 1_000


class Heart(Protocol):
    """Who knows the leases, in the event loop."""

    def beats(self, leases: Sequence[Lease]) -> dict[str, Any]: ...
    def hear(self, leases: Sequence[Lease], told: wire.Told) -> set[str]: ...


class RemotePulse:
    """See `storage.base.Pulse`. How long a lease lasts was said at its claim."""

    def __init__(self, heart: Heart, place: Place, loop: trio.lowlevel.TrioToken) -> None:
        self._heart = heart
        self._loop = loop
        self._http = BlockingWire(place)
        self._caller = Caller(self._http, place.url, PATIENCE)

    def extend(self, leases: Sequence[Lease], expires_at: float) -> set[str]:
        held: set[str] = set()
        for start in range(0, len(leases), MOST):
            some = leases[start : start + MOST]
            request = Request(
                "POST",
                "/worker/heartbeat",
                headers={"Content-Type": "application/json"},
                body=msgspec.json.encode(self._heart.beats(some)),
            )
            try:
                answer = run(self._caller.call(request, repeat=True))
            except ClientError as error:
                raise Unavailable(str(error)) from error
            told = msgspec.json.decode(answer.body, type=wire.Told)
            beaten = [msgspec.json.decode(raw, type=wire.Beaten) for raw in told.jobs]
            held |= {one.id for one in beaten if one.ok}
            self._loop.run_sync_soon(_hear(self._heart, some, told))
        return held

    def close(self) -> None:
        run(self._http.close())


def _hear(heart: Heart, leases: Sequence[Lease], told: wire.Told) -> Callable[[], None]:
    def hear() -> None:
        heart.hear(leases, told)

    return hear
