"""One wish for many jobs: 10,000 and more, in slices that leave room for everybody else."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple, get_args

import msgspec
import trio

from .. import clock
from ..errors import InvalidInput
from ..job import State
from ..storage.base import Store
from ..storage.wishes import Filter, Moved

BulkAction = Literal["cancel", "retry", "delete"]

SLICE = 500
PEEK = 10  # a dry run over ids reads whole jobs, and an upload has megabytes
FINISHED = [state for state in State if state.final]
UNFINISHED = [state for state in State if not state.final]


class BulkProgress(NamedTuple):
    """`matched` jobs are meant; so far `done` were changed and `skipped` could not be.

    `scanned` goes from 0 to 1. At the end (`finished`) every matched job is one or the other; in
    a dry run neither. It ends unfinished when the service stops.
    """

    matched: int
    done: int = 0
    skipped: int = 0
    scanned: float = 0.0
    finished: bool = False


BulkReport = Callable[[BulkProgress], Awaitable[None]]


async def silent(_progress: BulkProgress) -> None:
    """Tells nobody."""


class Walk:
    """Past all jobs that match, oldest first, up to where they ended when it began (or `end`).

    New ones that match may come as fast as we go; without an end, one would walk for ever.
    """

    def __init__(self, store: Store, filter: Filter, end: int | None = None) -> None:
        self._store = store
        self._filter = filter
        self._at = 0
        self.end = end
        self.over = False

    @property
    def fraction(self) -> float:
        """How far it has come, from 0 to 1."""
        return 1.0 if self.over or not self.end else min(1.0, self._at / self.end)

    async def step(self) -> list[str]:
        """Some more ids, at most 500; maybe none yet."""
        scan = await self._store.scan(self._filter, self._at, SLICE)
        if self.end is None:
            self.end = scan.end
        self._at = self.end if scan.next is None else scan.next
        self.over = self._at >= self.end
        return scan.ids


class Bulk:
    """Runs one action over ids, or over all that a filter matches when it begins.

    What has been changed stays changed when it is cancelled or fails half way; doing it again is
    harmless.
    """

    def __init__(
        self,
        store: Store,
        action: BulkAction,
        *,
        now: clock.Now,
        stopping: trio.Event,
        report: BulkReport = silent,
    ) -> None:
        if action not in get_args(BulkAction):
            raise InvalidInput(f"the action is one of {', '.join(get_args(BulkAction))}")
        self._store = store
        self._action = action
        self._now = now
        self._stopping = stopping
        self._report = report
        self._end: int | None = None

    async def over_ids(self, ids: Sequence[str], *, dry_run: bool) -> BulkProgress:
        ids = list(dict.fromkeys(ids))
        if dry_run:
            return await self._peek(ids)
        progress = BulkProgress(len(ids))
        for start in range(0, len(ids), SLICE):
            if self._stopping.is_set():
                return progress
            some = ids[start : start + SLICE]
            done = await self._act(some)
            progress = BulkProgress(
                len(ids),
                progress.done + done,
                progress.skipped + len(some) - done,
                min(1.0, (start + SLICE) / len(ids)),
            )
            await self._report(progress)
        return progress._replace(scanned=1.0, finished=True)

    async def over_filter(self, filter: Filter, *, dry_run: bool) -> BulkProgress:
        """Without states, a filter means those where the action can do something."""
        if filter.states is None:
            states = UNFINISHED if self._action == "cancel" else FINISHED
            filter = msgspec.structs.replace(filter, states=states)
        counted = await self._count(filter, told=dry_run)
        if dry_run or not counted.finished or not counted.matched:
            return counted
        matched, done, skipped = counted.matched, 0, 0
        walk = Walk(self._store, filter, end=self._end)
        while not walk.over:
            if self._stopping.is_set():
                return BulkProgress(matched, done, skipped, walk.fraction)
            ids = await walk.step()
            moved = await self._act(ids) if ids else 0
            done, skipped = done + moved, skipped + len(ids) - moved
            matched = max(matched, done + skipped)  # some may have joined after they were counted
            await self._report(BulkProgress(matched, done, skipped, walk.fraction))
        # Those that moved on by themselves after they were counted are skipped, too.
        return BulkProgress(matched, done, matched - done, 1.0, finished=True)

    async def _count(self, filter: Filter, *, told: bool) -> BulkProgress:
        walk, matched = Walk(self._store, filter), 0
        while not walk.over:
            if self._stopping.is_set():
                return BulkProgress(matched)
            matched += len(await walk.step())
            await self._report(BulkProgress(matched, scanned=walk.fraction if told else 0.0))
        self._end = walk.end
        return BulkProgress(matched, scanned=1.0, finished=True)

    async def _act(self, ids: Sequence[str]) -> int:
        moved = await self._move(ids)
        return sum(one.done for one in moved.values())

    async def _move(self, ids: Sequence[str]) -> dict[str, Moved]:
        if self._action == "cancel":
            return await self._store.cancel(ids, self._now())
        if self._action == "retry":
            return await self._store.retry(ids, self._now())
        return await self._store.remove(ids)

    async def _peek(self, ids: list[str]) -> BulkProgress:
        wanted = UNFINISHED if self._action == "cancel" else FINISHED
        matched = 0
        for start in range(0, len(ids), PEEK):
            jobs = await self._store.get(ids[start : start + PEEK])
            matched += sum(job.state in wanted for job in jobs.values())
            await self._report(BulkProgress(matched, scanned=start / len(ids)))
        return BulkProgress(matched, scanned=1.0, finished=True)
