"""Waiting for a job within a request: `?wait=30`, or `Prefer: wait=30`."""

from collections.abc import Awaitable, Callable
from functools import partial
from math import isfinite
from typing import TypeVar

import trio

from ..service import Service
from ..storage.records import Job
from .asgi import ClientLeft, Receive
from .problems import Malformed

T = TypeVar("T")

LONGEST = 55.0
"""Seconds; proxies give up on a silent answer after 60."""


class Preferences:
    """What a Prefer header (RFC 7240) asks for; what is not known, or not right, is ignored."""

    def __init__(self, header: str) -> None:
        self.minimal = False
        self.wait: float | None = None
        for preference in header.lower().split(",") if header else ():
            name, _, value = preference.partition(";")[0].partition("=")
            name, value = name.strip(), value.strip(' \t"')
            if name == "return":
                self.minimal = value == "minimal"
            elif name == "wait" and value.isascii() and value.isdecimal():
                self.wait = float(value)


def seconds(text: str) -> float:
    """The value of a `wait` parameter."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (isfinite(value) and value >= 0):
        raise Malformed("wait is a number of seconds, from 0 up.")
    return value


async def wait(
    service: Service,
    id_: str,
    wish: float,
    *,
    version: int | None = None,
    receive: Receive | None = None,
) -> Job:
    """The job when it has finished (or no longer has `version`), or `wish` seconds are over.

    With `receive`, it ends with ClientLeft when the client goes; Quart looks after its own.
    """
    return await while_there(receive, partial(service.wait, id_, min(wish, LONGEST), version))


async def while_there(receive: Receive | None, ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` brings; it is cancelled, and ClientLeft raised, when the client goes first."""
    if receive is None:
        return await ask()
    found: list[T] = []
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when_left, receive, nursery.cancel_scope)
        try:
            found.append(await ask())
        except Exception as error:  # let through here, it would leave in a group
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if not found:
        raise ClientLeft
    return found[0]


async def _cancel_when_left(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
