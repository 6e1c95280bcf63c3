"""What jobs do in a simulation: mostly their work, often not."""

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from trio_jobs.backoff import Backoff
from trio_jobs.errors import Cancel, Fail, Retry, Snooze
from trio_jobs.registry import Ctx, Handler

from .chance import Chance
from .law import Law

NARROW = "narrow"
"""A type, and its queue, of which one job may run at a time."""


def handlers(who: str, gone: trio.Event, law: Law, chance: Chance) -> list[Handler]:
    """Those of the process `who`, which does nothing any more once it is `gone`."""
    dice = chance.dice

    async def work(_input: dict[str, Any], ctx: Ctx) -> int:
        if gone.is_set():
            await trio.sleep_forever()
        number = law.began(who, ctx.job_id)
        await trio.sleep(dice.choice((0.0, 0.01, 0.3, 1.0)))
        if chance.strikes("misbehaves"):
            await dice.choice(MISCONDUCT)(ctx)
        return number

    backoff = Backoff(kind="fixed", base=0.5)
    return [
        Handler("work", work, backoff=backoff),
        Handler(NARROW, work, backoff=backoff, queue=NARROW),
    ]


async def _raise(_: Ctx) -> None:
    raise RuntimeError("an accident")


async def _fail(_: Ctx) -> None:
    raise Fail("for good")


async def _retry(_: Ctx) -> None:
    raise Retry("once more", after=0.2)


async def _snooze(_: Ctx) -> None:
    raise Snooze(0.7)


async def _cancel(_: Ctx) -> None:
    raise Cancel("nobody needs it")


async def _hang(_: Ctx) -> None:
    await trio.sleep_forever()


async def _take_long(ctx: Ctx) -> None:
    for second in range(4):
        ctx.progress(second, 4)
        ctx.log("not yet")
        ctx.save(second)
        await trio.sleep(1.0)


async def _ignore_cancellation(_: Ctx) -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep(5)


MISCONDUCT: list[Callable[[Ctx], Awaitable[None]]] = [
    *(_raise, _fail, _retry, _snooze, _cancel, _hang, _take_long, _ignore_cancellation),
]
