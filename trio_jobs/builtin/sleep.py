"""`sleep`: waits; for trying timeouts, cancels and shutdowns."""

from typing import Annotated

import msgspec
import trio

from ..registry import Ctx, Handler

DAY = 86_400


class Sleep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to wait for, in seconds."""

    seconds: Annotated[float, msgspec.Meta(ge=0, le=DAY)]


class Slept(msgspec.Struct, frozen=True):
    """What was waited for, in seconds."""

    slept: float


async def run(sleep: Sleep, _ctx: Ctx) -> Slept:
    """Waits in the event loop; a timeout or cancel ends it at once."""
    await trio.sleep(sleep.seconds)
    return Slept(sleep.seconds)


def handler() -> Handler:
    """The type `sleep`. The job's timeout must be longer than what it waits for."""
    return Handler("sleep", run, input=Sleep, summary="Waits for some seconds.")
