"""Who works elsewhere: seen when they ask, written down now and then, told what to do.

The database knows, so that all processes of the service know the same. A worker is written down at
most once in ten seconds, all of a second together; what others have written is read as often, while
there is anybody.
"""

import logging
from collections.abc import Collection, Iterator, Sequence

import trio

from ... import clock
from ...errors import NotFound, Unavailable
from ...storage.base import Store
from ...storage.remote import Directive, RemoteWorker, Seen

log = logging.getLogger(__name__)

EVERY = 1.0
WRITTEN_EVERY = 10.0
KEPT = 300.0
"""Seconds after which a silent worker is none any more."""
TYPES_KEPT = 7 * 86_400.0
"""… and after which nobody is believed to come back for the jobs of a type."""


class Remotes:
    """`run` must run for the others to hear of whom this process has seen."""

    def __init__(self, store: Store, now: clock.Now) -> None:
        self._store = store
        self._now = now
        self._known: dict[str, RemoteWorker] = {}
        self._types: dict[str, float] = {}
        self._read_at = float("-inf")
        self._last: dict[str, float] = {}  # seen by this process
        self._due: dict[str, float] = {}  # when it is to be written down again
        self._unwritten: dict[str, Seen] = {}
        self._somebody = trio.Event()
        self._refreshing = trio.Lock()  # what was read earlier must not replace what is newer
        self.news = trio.Event()
        """Set, and replaced, when somebody is told something else."""

    async def run(self) -> None:
        await self._look()
        while True:
            if not self._known and not self._unwritten:
                await self._somebody.wait()
            await self._look()
            await trio.sleep(EVERY)

    def saw(
        self, name: str, types: list[str] | None = None, queues: list[str] | None = None
    ) -> None:
        """A worker has asked for something: for jobs of `types`, or for something else (None)."""
        now = self._now()
        self._last[name] = now
        known = self._known.get(name)
        asks_anew = types is not None and (
            known is None or known.types != types or known.queues != queues
        )
        if not asks_anew and now < self._due.get(name, 0.0):
            return
        before = self._unwritten.get(name)
        if types is None and before is not None:
            types, queues = before.types, before.queues
        self._due[name] = now + WRITTEN_EVERY
        self._unwritten[name] = Seen(name, now, types, queues)
        if types is not None:
            said = self.directive(name)
            self._known[name] = RemoteWorker(name, types, queues, now, said)
            self._types.update(dict.fromkeys(types, now))
        self._somebody.set()

    def tell(self) -> None:
        """There is news for those who wait for it."""
        self.news.set()
        self.news = trio.Event()

    @property
    def known(self) -> Collection[RemoteWorker]:
        """All that have been seen lately, as far as is known here."""
        return self._known.values()

    def directive(self, name: str) -> Directive:
        """What this worker is to be told."""
        known = self._known.get(name)
        return Directive.RUN if known is None else known.directive

    async def direct(self, names: Sequence[str], directive: Directive) -> list[RemoteWorker]:
        """Tells all of these workers, or raises NotFound and tells none."""
        await self.refresh()
        for name in names:
            if name not in self._known:
                raise NotFound(f"No worker {name!r} has been seen in the last {KEPT:.0f} s.")
        if not self._unwritten.keys().isdisjoint(names):  # seen just now
            await self.refresh()
        await self._store.direct(names, directive)
        await self.refresh()
        return [self._known[name] for name in names if name in self._known]

    async def workers(self) -> list[RemoteWorker]:
        """All that have been seen lately, by name."""
        await self.refresh()
        return list(self._known.values())

    def has_type(self, type_: str) -> bool:
        """Has a worker asked for jobs of this type, as far as is known here?"""
        return type_ in self._types

    @property
    def types(self) -> Collection[str]:
        return self._types

    async def learn(self) -> None:
        """Looks what others have seen, if the last look is old."""
        if self._now() - self._read_at >= EVERY:
            await self.refresh()

    def takes(self, type_: str, queue: str) -> bool:
        """Is there a worker that would take such a job?"""
        return any(
            type_ in worker.types and (worker.queues is None or queue in worker.queues)
            for worker in self._known.values()
        )

    async def refresh(self) -> None:
        """Writes down who was seen, and reads what all processes have seen."""
        async with self._refreshing:
            await self._refresh()

    async def _refresh(self) -> None:
        now = self._now()
        if self._unwritten:
            seen, self._unwritten = self._unwritten, {}
            try:
                await self._store.saw(
                    list(seen.values()), workers_since=now - KEPT, types_since=now - TYPES_KEPT
                )
            except BaseException:
                self._unwritten = seen | self._unwritten
                raise
        roster = await self._store.roster()
        self._read_at = self._now()
        told = {name: worker.directive for name, worker in self._known.items()}
        self._known = {
            worker.name: self._with_last(worker)
            for worker in roster.workers
            if max(worker.seen_at, self._last.get(worker.name, 0.0)) > now - KEPT
        }
        self._types = roster.types
        for name, types, queues, at in self._new_faces():  # who came while this was read
            self._known.setdefault(name, RemoteWorker(name, types, queues, at))
            self._types = {**dict.fromkeys(types, at), **self._types}
        self._last = {name: at for name, at in self._last.items() if at > now - KEPT}
        self._due = {name: at for name, at in self._due.items() if name in self._last}
        if any(told.get(name, Directive.RUN) != w.directive for name, w in self._known.items()):
            self.tell()

    def _new_faces(self) -> Iterator[tuple[str, list[str], list[str] | None, float]]:
        for seen in self._unwritten.values():
            if seen.types is not None:
                yield seen.name, seen.types, seen.queues, seen.at

    def _with_last(self, worker: RemoteWorker) -> RemoteWorker:
        last = max(worker.seen_at, self._last.get(worker.name, 0.0))
        return RemoteWorker(worker.name, worker.types, worker.queues, last, worker.directive)

    async def _look(self) -> None:
        self._somebody = trio.Event()
        try:
            await self.refresh()
        except Unavailable as error:
            log.warning("cannot keep the list of workers elsewhere right now: %s", error)
