"""`noop`: does nothing, at once; for trying things and for benchmarks."""

from typing import Any

from ..registry import Ctx, Handler


async def run(_input: Any, _ctx: Ctx) -> None:
    """Takes any input and returns None."""


def handler() -> Handler:
    """The type `noop`."""
    return Handler("noop", run, input=Any, summary="Does nothing, at once.")
