"""Who wants to know what happens to jobs, and the one task that reads it for all of them.

    store.changes ──▶ Watch.run ──▶ the subscriptions of that job, and those of all jobs

Nothing is read while nobody listens. A subscription that falls behind is filled from the store
instead, from the very change where it stopped: the numbers of the changes make the seam exact.
"""

import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from ..errors import Unavailable
from ..storage.base import Store
from ..storage.records import Job
from ..storage.watching import Change, Changes

log = logging.getLogger(__name__)

POLL = 0.25  # seconds: other processes ring no bell here
TOGETHER = 0.01  # seconds between two looks: what a busy service does meanwhile comes as one page
PAGE = 1_000
MOST_BUFFERED = 1_000


class Watch:
    """Hands each change of a job to those who listen. `run` must be running for anything to come.

    `close` ends every subscription, and `run`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._of_all: set[Subscription] = set()
        self._of_job: dict[str, set[Subscription]] = {}
        self._position: int | None = None  # all up to here has been handed on; None: nobody listens
        self._wanted = trio.Event()
        self._closed = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while not self._closed:
            if self._position is None:
                await self._wanted.wait()
            elif not self._of_all and not self._of_job:
                self._position = None
                self._wanted = trio.Event()
            else:
                await self._store.changes_bell.wait(POLL)
                await self._look(self._position)
                await trio.sleep(TOGETHER)

    def close(self) -> None:
        self._closed = True
        self._wanted.set()
        self._store.changes_bell.ring()
        for subscription in self._all():
            subscription.close()

    @asynccontextmanager
    async def subscribe(
        self, job_id: str | None = None, after: int | None = None
    ) -> AsyncIterator["Subscription"]:
        """The changes of one job, or of all (None), from now on, or from those after `after`.

        What is committed after this has been entered comes; so look at the job inside.
        """
        subscription = Subscription(self._store, job_id)
        newest = None
        if self._position is None or after is not None:
            newest = (await self._store.changes(None, 0)).last
        # No await from here on: what the hub hands on next, it hands to this one too.
        if self._position is None:
            self._position = newest
            self._wanted.set()
        subscription.last = self._position or 0
        if after is not None and newest is not None:
            subscription.resume(after, newest)
        if self._closed:
            subscription.close()
        group = self._of_all if job_id is None else self._of_job.setdefault(job_id, set())
        group.add(subscription)
        try:
            yield subscription
        finally:
            group.discard(subscription)
            if job_id is not None and not group and self._of_job.get(job_id) is group:
                del self._of_job[job_id]

    async def until(
        self,
        job_id: str,
        look: Callable[[], Awaitable[Job]],
        over: Callable[[Job | Change], bool],
        seconds: float,
    ) -> Job:
        """What `look` finds once that is `over`, or when `seconds` have passed or this is closed.

        `over` is asked about the job and about its changes.
        """
        job = await look()
        if over(job):
            return job
        with trio.move_on_after(seconds):
            async with self.subscribe(job_id) as pages:
                job = await look()  # what has happened so far nobody will tell
                while not over(job) and (page := await anext(pages, None)) is not None:
                    if not page.changes or over(page.changes[-1]):
                        job = await look()
            return job
        return await look()

    async def _look(self, position: int) -> None:
        while not self._closed:  # then the store may be, too
            try:
                page = await self._store.changes(position, PAGE)
            except Unavailable as error:
                log.warning("cannot read what has changed right now: %s", error)
                return
            if not page.complete:
                for subscription in self._all():
                    subscription.lose()
            for change in page.changes:
                for subscription in self._of_job.get(change.id, ()):
                    subscription.push(change)
                for subscription in self._of_all:
                    subscription.push(change)
            self._position = position = page.last
            if not page.more:
                return

    def _all(self) -> list["Subscription"]:
        return [*self._of_all, *(one for group in self._of_job.values() for one in group)]


class Subscription:
    """Iterate over it: pages of Changes (never empty, unless some were lost) until it is closed.

    `complete` is False where changes before that page have been forgotten; then look at the job
    itself. `last` is the number of the last change handed out, to go on `after` another time. A
    cancelled wait for the next page loses nothing.
    """

    def __init__(self, store: Store, job_id: str | None) -> None:
        self._store = store
        self._job_id = job_id
        self._buffer: deque[Change] = deque()
        self._something = trio.Event()
        self._reading = False  # it is behind, and reads for itself
        self._receiving = True
        self._lost = False
        self._closed = False
        self.last = 0

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Changes:
        while True:
            if self._closed:
                raise StopAsyncIteration
            if self._reading:
                page = await self._read()
                if page.changes or not page.complete:
                    return page
            elif self._buffer or self._lost:
                await trio.lowlevel.checkpoint()
                if self._reading or not (self._buffer or self._lost):
                    continue
                changes = list(self._buffer)
                complete = not self._lost
                self._buffer.clear()
                self._lost = False
                if changes:
                    self.last = changes[-1].seq
                return Changes(changes, self.last, False, complete)
            else:
                self._something = trio.Event()
                await self._something.wait()

    async def _read(self) -> Changes:
        if not self._receiving:
            # Before the first page is read: what the reading does not see any more, comes.
            self._buffer.clear()
            self._receiving = True
        page = await self._store.changes(self.last, PAGE)
        self.last = page.last
        complete, self._lost = page.complete and not self._lost, False
        if not page.more and self._receiving:
            self._reading = False
            while self._buffer and self._buffer[0].seq <= self.last:
                self._buffer.popleft()
        found = page.changes
        if self._job_id is not None:
            found = [change for change in found if change.id == self._job_id]
        return Changes(found, self.last, page.more, complete)

    # ── what the watch tells ──────────────────────────────────────────────────────────────────

    def resume(self, after: int, newest: int) -> None:
        """Starts `after` that change; what is beyond the `newest` one was another database's."""
        self.last = min(after, newest)
        self._lost = after > newest
        self._reading = True
        self._something.set()

    def push(self, change: Change) -> None:
        if not self._receiving or change.seq <= self.last:  # what it has read is ahead of the hub
            return
        if len(self._buffer) == MOST_BUFFERED:
            self._buffer.clear()
            self._receiving = False
            self._reading = True
        else:
            self._buffer.append(change)
        self._something.set()

    def lose(self) -> None:
        """Some changes are known to nobody any more."""
        self._lost = True
        self._something.set()

    def close(self) -> None:
        self._closed = True
        self._something.set()
