"""One process of the service, as the runtime puts it together, and how it ends."""

import fcntl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import apsw
import trio

from trio_jobs.config import Settings
from trio_jobs.errors import StoreBroken, TrioJobsError, Unavailable
from trio_jobs.registry import Registry
from trio_jobs.runtime import parts
from trio_jobs.service import Service
from trio_jobs.storage.base import Pulse
from trio_jobs.storage.records import Lease
from trio_jobs.storage.sqlite import SqliteStore
from trio_jobs.storage.threads import RunSync
from trio_jobs.storage.write import Committed, Write

from .chance import Chance
from .handlers import handlers
from .law import Law
from .trace import Trace

T = TypeVar("T")

FATES = ("dies before", "busy", "full", "spoiled", "breaks before", "dies after", "breaks after")
"""What may become of a transaction."""


class NoAnswer(Exception):
    """The process has died, or its answer was lost: anything may have happened."""


class Process:
    """Serves and works from `run` until it is told to stop, breaks, or is killed.

    What is done in threads elsewhere is done in place here, at a moment that the dice choose, and
    with what they choose to befall it.
    """

    def __init__(
        self, name: str, path: Path, settings: Settings, law: Law, chance: Chance, trace: Trace
    ) -> None:
        self.name = name
        self._law = law
        self._chance = chance
        self._trace = trace
        self._requests: set[trio.CancelScope] = set()
        self._nursery: trio.Nursery | None = None
        self._stop = trio.Event()
        self._left = trio.Event()
        self.present = False  # its lock is held
        self.serves = False
        self.gone = trio.Event()  # it is dead, or has ended
        registry = Registry(handlers(name, self.gone, law, chance))
        self.store = Store(path, self.run_sync, law)
        with patch.object(parts, "open_store", lambda *_, **__: self.store):
            self.parts = parts.Parts(settings, registry, workers=True)

    @property
    def identity(self) -> str:
        return self.store.identity

    # ── its life ──────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        if self.gone.is_set():
            return
        self._trace.note(self.name, "starts")
        try:
            async with trio.open_nursery() as self._nursery:
                await self._nursery.start(self.store.run)
                for run in self.parts.upon_store:
                    await self._nursery.start(run)
                self.serves = True
                await self._stop.wait()
                await self.parts.drain()
                self.store.close()
                await self._left.wait()
                self._end("has stopped")
        except ExceptionGroup as errors:
            if self.gone.is_set():
                return  # nobody hears what a dead process says
            if not errors.subgroup(StoreBroken):
                raise
            self._end("breaks")

    def stop(self) -> None:
        """In order, as after a signal."""
        self._trace.note(self.name, "is told to stop")
        self._stop.set()

    def kill(self) -> None:
        """Nothing that it has begun goes on, and the kernel drops its locks."""
        if self.present:
            self.present = False
            presence = self.store.file.presence
            fcntl.flock(presence._alive, fcntl.LOCK_UN)
            fcntl.flock(presence._owner, fcntl.LOCK_UN)
        self._end("is killed")

    def _end(self, how: str) -> None:
        if self.gone.is_set():
            return
        self._trace.note(self.name, how)
        self.serves = False
        self.gone.set()
        for scope in self._requests:
            scope.cancel()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    # ── what clients ask ──────────────────────────────────────────────────────────────────────

    async def asked(self, verb: Callable[[Service], Awaitable[T]], patience: float) -> T:
        """One request and its answer, within `patience` seconds. Raises NoAnswer."""
        scope = trio.CancelScope(deadline=trio.current_time() + patience)
        self._requests.add(scope)
        try:
            with scope:
                answer = await verb(self.parts.service)
        except TrioJobsError:
            if self.gone.is_set():
                raise NoAnswer from None
            raise
        finally:
            self._requests.discard(scope)
        if scope.cancelled_caught or self.gone.is_set() or self._chance.strikes("reply lost"):
            raise NoAnswer
        return answer

    # ── its threads ───────────────────────────────────────────────────────────────────────────

    async def run_sync(self, call: Callable[..., T], *args: Any) -> Any:
        """As `trio.to_thread.run_sync`: whoever is cancelled meanwhile has to wait for it."""
        file = self.store.file
        if self.gone.is_set() and call != file.close:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=True):
            await self._time_passes()
            if done := not self.gone.is_set() or call == file.close:
                answer = self._performed(call, args)
            await self._time_passes()
        if self.gone.is_set() and not (done and call in (file.open, file.close)):
            await trio.sleep_forever()
        return answer

    async def _time_passes(self) -> None:
        dice = self._chance.dice
        if self._chance.strikes("slow"):
            seconds = dice.uniform(0.1, 5.0)
        elif dice.random() < 0.3:
            seconds = dice.uniform(0, 0.02)
        else:
            return
        with trio.move_on_after(seconds):
            await self.gone.wait()

    def _performed(self, call: Callable[..., Any], args: Sequence[Any]) -> Any:
        store = self.store
        if call == store._transact:
            return self._transacted(*args)
        if call == store.file.close:
            self.present = False
            self._left.set()
        elif call != store.file.open and self._chance.strikes("cannot read"):
            raise Unavailable("the database is busy")
        answer = call(*args)
        if call == store.file.open:
            self.present = True
            store.file.writer.create_scalar_function("random", self._random, 0)
        return answer

    def _random(self, *_: object) -> int:
        """SQLite's, which draws the lease tokens."""
        return self._chance.dice.getrandbits(63)

    def _transacted(self, writes: Sequence[Write]) -> Any:
        fate = self._chance.first(FATES)
        if fate == "spoiled" and len(writes) == 1:
            fate = None
        if fate is not None:
            kinds = ", ".join(sorted({type(write).__name__ for write in writes}))
            self._trace.note(self.name, f"{fate}: {kinds}")
        if fate == "dies before":
            return self.kill()
        if fate == "busy":
            raise Unavailable("the database is busy")
        committed = self._committed(writes, VETOES.get(fate or ""))
        if fate == "dies after":
            return self.kill()
        if fate == "breaks after":
            raise StoreBroken("an I/O error, after the commit")
        return committed

    def _committed(
        self, writes: Sequence[Write], veto: Callable[[], Exception] | None
    ) -> Committed:
        def refuse() -> bool:
            assert veto is not None
            raise veto()

        store = self.store
        store.file.writer.set_commit_hook(None if veto is None else refuse)
        committed = store._transact(writes)
        self._law.committed(self.name, writes, committed.answers)
        return committed


VETOES: dict[str, Callable[[], Exception]] = {
    "full": lambda: apsw.FullError("database or disk is full"),
    "spoiled": lambda: RuntimeError("one of them is bad"),
    "breaks before": lambda: apsw.IOError("disk I/O error"),
}
"""What SQLite says in the place of a commit."""


class Store(SqliteStore):
    """The real one, under the law."""

    def __init__(self, path: Path, run_sync: RunSync, law: Law) -> None:
        super().__init__(path, shared=True, run_sync=run_sync)
        self._law = law

    def pulse(self) -> Pulse:
        return WatchedPulse(super().pulse(), self._law)


class WatchedPulse:
    """The heartbeat's connection, under the law."""

    def __init__(self, pulse: Pulse, law: Law) -> None:
        self._pulse = pulse
        self._law = law

    def extend(self, leases: Sequence[Lease], expires_at: float) -> set[str]:
        held = self._pulse.extend(leases, expires_at)
        self._law.extended(leases, held)
        return held

    def close(self) -> None:
        self._pulse.close()
