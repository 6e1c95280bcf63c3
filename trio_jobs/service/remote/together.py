"""Several calls at the same time, so that the store writes them in one transaction."""

from collections.abc import Awaitable, Callable

import trio


async def together(*calls: Callable[[], Awaitable[object]]) -> None:
    """All to their end; then raises what the first that failed has raised, in no group."""
    failures: list[Exception] = []

    async def attempt(call: Callable[[], Awaitable[object]]) -> None:
        try:
            await call()
        except Exception as error:
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for call in calls:
            nursery.start_soon(attempt, call)
    if failures:
        raise failures[0]
