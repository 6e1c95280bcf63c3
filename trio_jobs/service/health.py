"""Whether the service can do what it is for, found out by doing it."""

import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import trio

from .. import clock
from ..errors import TrioJobsError
from ..storage.base import Store
from .why import AskHands


class Check(NamedTuple):
    """One thing that was looked at; `detail` is a sentence, `seconds` how long it took."""

    name: str
    ok: bool
    detail: str
    seconds: float


class Health:
    """`checks` tries the store (a commit) and a claim (of nothing), in one transaction."""

    def __init__(self, store: Store, hands: AskHands, now: clock.Now) -> None:
        self._store = store
        self._hands = hands
        self._now = now

    async def checks(self, *, draining: bool) -> list[Check]:
        """All of them, in a fixed order; failed ones too."""
        found: dict[str, Check] = {}

        async def look(name: str, probe: Callable[[], Awaitable[object]], fine: str) -> None:
            start, detail = time.perf_counter(), ""
            try:
                await probe()
            except TrioJobsError as error:
                detail = str(error)
            found[name] = Check(name, not detail, detail or fine, time.perf_counter() - start)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look, "store", self._store.check_writable, "It stores.")
            nursery.start_soon(look, "claims", self._claim, "Jobs can be claimed.")
        state = "The service is stopping." if draining else "The service takes jobs."
        return [
            Check("serving", not draining, state, 0.0),
            found["store"],
            found["claims"],
            Check("worker", True, self._worker(), 0.0),
        ]

    async def _claim(self) -> None:
        now = self._now()
        await self._store.claim("probe", [], 0, now, now)

    def _worker(self) -> str:
        hands = self._hands()
        if hands is None or not hands.limits:
            return "This process runs no jobs."
        return f"{hands.busy} of {hands.slots} slots are busy."
