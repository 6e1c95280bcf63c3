"""Claims for workers elsewhere, and the line of those that wait for a job.

A thousand may wait and one job come: nobody is woken but who gets it. One task hears the doorbell
and claims for those in front; only as long as they get all they want does it ask for more of them,
twice as many each time, in one transaction.

What was claimed for somebody who has left meanwhile is handed back, uncharged.
"""

import logging
from collections.abc import Sequence
from itertools import islice

import trio

from ... import clock
from ...errors import Unavailable
from ...job import Verdict
from ...storage.base import Store
from ...storage.records import Claimed, Settlement
from .asks import Wish

log = logging.getLogger(__name__)

AGAIN = 1.0  # seconds between tries while the store is not available
MOST_AT_ONCE = 64
REST = 2
"""A look for nothing costs the writer something, in a long queue of other types 5 ms: so long,
times this, is the pause behind it."""

Kind = tuple[frozenset[str], frozenset[tuple[str, int]] | None, bool]


class Place:
    """Where one call waits."""

    __slots__ = ("called", "jobs", "kind", "left", "wish", "worker")

    def __init__(self, worker: str, wish: Wish) -> None:
        self.worker = worker
        self.wish = wish
        self.jobs: list[Claimed] = []
        self.called = trio.Event()
        self.left = False
        self.kind = kind_of(wish)


def kind_of(wish: Wish) -> Kind:
    """Whoever asks for the same gets the same: nothing for one is nothing for all."""
    queues = None if wish.queues is None else frozenset(wish.queues.items())
    return frozenset(wish.types), queues, wish.last_chance


class Line:
    """`run` must run for those that wait to get anything; `poll` is in seconds."""

    def __init__(self, store: Store, *, poll: float, now: clock.Now) -> None:
        self._store = store
        self._poll = poll
        self._now = now
        self._bell = store.doorbell.branch()
        self._waiting: dict[Kind, dict[Place, None]] = {}
        self._somebody = trio.Event()
        self.closed = False

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def has(self, wish: Wish) -> bool:
        """Does somebody wait for the same? Then there was none a moment ago."""
        return kind_of(wish) in self._waiting

    async def claim(self, worker: str, wish: Wish) -> list[Claimed]:
        """What there is now. Cancelled, it has claimed nothing."""
        with trio.CancelScope(shield=True):
            jobs = await self._claim(worker, wish)
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled:
            await self.hand_back(jobs)
            raise
        return jobs

    async def wait(self, worker: str, wish: Wish) -> list[Claimed]:
        """What comes within `wish.wait` seconds, if anything does before `let_go`."""
        place = Place(worker, wish)
        if self.closed:
            return []
        self._waiting.setdefault(place.kind, {})[place] = None
        self._somebody.set()
        self._bell.ring()
        try:
            with trio.move_on_after(wish.wait):
                await place.called.wait()
            await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled:
            await self.hand_back(place.jobs)
            raise
        finally:
            place.left = True
            self._remove(place)
        return place.jobs

    def let_go(self, worker: str | None = None) -> None:
        """Ends the waiting of a worker, or of all (None), with nothing."""
        for group in self._waiting.values():
            for place in group:
                if worker in (None, place.worker):
                    place.called.set()

    def close(self) -> None:
        """Nobody waits from now on, and `run` ends."""
        self.closed = True
        self.let_go()
        self._somebody.set()
        self._bell.ring()

    async def hand_back(self, jobs: Sequence[Claimed]) -> None:
        """Nobody has seen them: they go back as if they had not been claimed."""
        if not jobs:
            return
        released = [Settlement.of(job.lease, Verdict.released()) for job in jobs]
        with trio.CancelScope(shield=True):
            try:
                await self._store.settle(released, self._now())
            except Unavailable as error:
                log.warning("cannot hand back %d jobs; their leases will end: %s", len(jobs), error)
        self._store.doorbell.ring()

    async def run(self) -> None:
        """Claims for those that wait when there may be something: the bell, or the poll beneath."""
        while not self.closed:
            if not self._waiting:
                self._somebody = trio.Event()
                await self._somebody.wait()
            else:
                await self._bell.wait(self._poll)
                await trio.sleep(REST * await self._look())

    async def _look(self) -> float:
        """How many seconds the last round took."""
        hungry, at_once = list(self._waiting), 1
        took = 0.0
        while hungry:
            began = trio.current_time()
            places = [place for kind in hungry for place in self._front(kind, at_once)]
            await self._serve(places)
            took = trio.current_time() - began
            sated = {place.kind for place in places if len(place.jobs) == place.wish.most}
            short = {place.kind for place in places if len(place.jobs) < place.wish.most}
            hungry = [kind for kind in hungry if kind in sated - short and kind in self._waiting]
            at_once = min(2 * at_once, MOST_AT_ONCE)
        return took

    def _front(self, kind: Kind, most: int) -> list[Place]:
        waiting = (place for place in self._waiting.get(kind, ()) if not place.called.is_set())
        return list(islice(waiting, most))

    async def _serve(self, places: Sequence[Place]) -> None:
        if len(places) == 1:  # in this very turn: it catches the batch that brings the job
            await self._serve_one(places[0])
            return
        async with trio.open_nursery() as nursery:
            for place in places:
                nursery.start_soon(self._serve_one, place)

    async def _serve_one(self, place: Place) -> None:
        try:
            jobs = await self._claim(place.worker, place.wish)
        except Unavailable as error:
            log.warning("cannot claim for workers elsewhere right now: %s", error)
            await trio.sleep(AGAIN)
            return
        if place.left or (jobs and place.called.is_set()):
            await self.hand_back(jobs)
        elif jobs:
            place.jobs = jobs
            place.called.set()
            self._remove(place)

    async def _claim(self, worker: str, wish: Wish) -> list[Claimed]:
        now = self._now()
        return await self._store.claim(
            worker,
            wish.types,
            wish.most,
            now,
            now + wish.lease,
            last_chance=wish.last_chance,
            queues=wish.queues,
        )

    def _remove(self, place: Place) -> None:
        group = self._waiting.get(place.kind)
        if group is not None:
            group.pop(place, None)
            if not group:
                del self._waiting[place.kind]
