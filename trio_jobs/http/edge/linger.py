"""The time between the last answer and the close."""

import trio

from .connections import Connections
from .wire import Wire

LINGER = 2.0  # seconds a client has to hear the answer to a request it is still sending
LINGER_BYTES = 1_048_576
MOST_LINGERING = 100


async def linger(wire: Wire, connections: Connections) -> None:
    """Let the client read its answer: closing on bytes unread would take it away (a reset).

    Returns when the client closes, sends LINGER_BYTES more or takes LINGER seconds; at once
    when many linger already. Cancellation ends it.
    """
    if connections.lingering >= MOST_LINGERING:
        return
    connections.lingering += 1
    try:
        with trio.move_on_after(LINGER):
            await wire.finish()
            left = LINGER_BYTES
            while left > 0 and (data := await wire.read()):
                left -= len(data)
    finally:
        connections.lingering -= 1
