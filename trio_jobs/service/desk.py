"""Where orders are taken."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from ..errors import Conflict, InvalidInput, Unavailable, Uncertain
from ..storage.base import Store
from ..storage.records import Enqueued, Job, Key, NewJob
from .order import CALLBACK, Checks, Order
from .reach import Reach
from .room import Room


class Placed(NamedTuple):
    """The job that stands for an order: a new one, or one that was there.

    `deduplicated`: it holds the order's unique key. `replayed`: the idempotency key was known.
    """

    job: Job
    deduplicated: bool = False
    replayed: bool = False


class Desk:
    """Takes orders; what is new is answered without asking the store how it stands."""

    def __init__(
        self,
        store: Store,
        checks: Checks,
        room: Room,
        learn: Callable[[Iterable[str]], Awaitable[None]],
    ) -> None:
        """`learn(types)` finds out about types that may be new."""
        self._store = store
        self._learn = learn
        self._checks = checks
        self._room = room

    async def place(
        self, orders: Sequence[Order], key: Key | None, now: float, reach: Reach
    ) -> list[Placed]:
        """See `Service.enqueue`. Jobs in queues that are out of `reach` stand for none."""
        new = []
        await self._learn(order.type for order in orders)
        visible = None if reach.grant.queues is None else sorted(reach.grant.queues)
        for index, order in enumerate(orders):
            try:
                job = self._checks.new_job(order, now)
                reach.demand(job.type, job.queue)
                if job.callback_url is not None:  # what one may not enqueue comes by no detour
                    reach.demand(CALLBACK, job.queue)
                new.append(job if visible is None else replace(job, visible=visible))
            except InvalidInput as error:
                if len(orders) > 1:
                    error.pointer = f"/{index}{error.pointer}"
                raise
        if not new:
            return []
        await self._room.demand(new)
        stored = await self._store.enqueue(new, key)
        if not stored.replayed and stored.ids == [job.id for job in new]:
            return [Placed(Job.fresh(job)) for job in new]
        return await self._stand_ins(new, stored)

    async def _stand_ins(self, new: list[NewJob], stored: Enqueued) -> list[Placed]:
        """Reads those that were there before."""
        fresh = {job.id: job for job in new}
        try:
            found = await self._store.get([id_ for id_ in stored.ids if id_ not in fresh])
        except Unavailable as error:
            if fresh.keys().isdisjoint(stored.ids):
                raise  # nothing was stored: the caller may try again
            raise Uncertain(f"It was stored, but cannot be shown: {error}") from error
        placed = []
        for at, id_ in enumerate(stored.ids):
            if id_ in fresh:
                # One unique key twice in a call: the second order is the first one's job, too.
                placed.append(Placed(Job.fresh(fresh[id_]), deduplicated=id_ != new[at].id))
            elif id_ in found:
                placed.append(Placed(found[id_], not stored.replayed, stored.replayed))
            else:
                raise Conflict(f"This was accepted before as job {id_}, which is gone by now.")
        return placed
