"""Tests of handlers: the real engine, on a real file, in virtual time and without threads.

The pytest plugin gives a `Rehearsal` of your app as the fixture `jobs`.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import wraps
from math import inf
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

import msgspec
import trio
import trio.testing

from .app import Jobs
from .app.handle import result_of
from .app.job_type import BareJobType, JobType
from .config import Settings
from .job import State
from .registry import Handler, Registry
from .service import Callbacks, Order, Service
from .storage.records import Job, Settlement
from .storage.sqlite import SqliteStore
from .storage.wishes import Filter
from .worker import Worker
from .worker.hand import Hand
from .worker.lifespans import opened
from .worker.log_capture import installed

EPOCH = 1_800_000_000.0
"""What the clock of a rehearsal shows at its start, in Unix seconds."""
FOR_EVER = 1e7  # seconds: leases and polls have no part in a rehearsal
FIRST_LOOK, LAST_LOOK = 0.01, 60.0  # seconds between looks at whether all has ended, doubling
SLICE = 1_000
ALONE = "trio_jobs.rehearsal"  # the queue of the one job that is run by itself

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")
Rest = ParamSpec("Rest")


@dataclass(frozen=True, slots=True)
class Ran(Generic[R]):
    """What one attempt has led to: `state` is where the job is now, `reason` why.

    `run_at` is when it runs (again), in Unix seconds.
    """

    job: Job
    output: Any

    @property
    def state(self) -> State:
        return self.job.state

    @property
    def reason(self) -> str | None:
        return self.job.reason

    @property
    def run_at(self) -> float:
        return self.job.run_at

    @property
    def result(self) -> R:
        """What it has returned; raises JobFailed, with its error, when it has not."""
        result: R = result_of(self.job, self.output)
        return result


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that waits; `payload` is what its handler will get, `run_at` in Unix seconds."""

    id: str
    type: str
    payload: Any
    queue: str
    priority: int
    run_at: float
    tags: list[str]


class Rehearsal:
    """An app that is open, and whose jobs run only when the test says so.

    Plain functions run in place, in the event loop: they cannot be timed out, and
    `trio.from_thread` does not work in them.
    """

    def __init__(self, service: Service, store: SqliteStore, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._settings = _settings(Path())
        self.service = service

    def now(self) -> float:
        """What time it is, in Unix seconds."""
        return now()

    async def run(
        self,
        function: JobType[P, Rest, Any, R] | BareJobType[Rest, Any, R],
        payload: P | None = None,
    ) -> Ran[R]:
        """One attempt of a new job, by itself: encoded, validated, timed and judged as ever."""
        raw = b"{}" if payload is None else msgspec.json.encode(payload)
        [placed] = await self.service.enqueue([Order(type=function.type, payload=raw, queue=ALONE)])
        [job] = await self._store.claim(
            self._store.identity,
            [function.type],
            1,
            now(),
            now() + FOR_EVER,
            queues={ALONE: 1},
        )
        hand = Hand(self._registry, self._settings, now=now)
        with installed():
            async with opened(self._registry) as hand.resources:
                outcome = await hand.run(job, hand.attempt(job))
        verdict = hand.judge(job, outcome)
        if verdict is not None:
            await self._store.settle([Settlement.of(job.lease, verdict)], now())
        return Ran(await self.service.get(placed.job.id), function.signature.output)

    async def drain(self) -> None:
        """Runs all jobs to their end, however long they wait for it, and those they enqueue."""
        await self._work(inf)

    async def advance(self, seconds: float) -> None:
        """Lets so much time pass: what becomes due meanwhile runs, and what has begun ends."""
        end = now() + seconds
        await self._work(end)
        await trio.sleep(max(end - now(), 0.0))

    async def enqueued(self, type: str | None = None) -> list[Waiting]:
        """The jobs that wait, oldest first; at most 50."""
        meant = Filter(
            states=[State.SCHEDULED, State.QUEUED], types=None if type is None else [type]
        )
        page = await self.service.list_jobs(meant, bodies=True)
        return [self._waiting(job) for job in reversed(page.jobs)]

    def _waiting(self, job: Job) -> Waiting:
        payload = self._registry[job.type].decode((job.payload_text or "{}").encode())
        return Waiting(job.id, job.type, payload, job.queue, job.priority, job.run_at, job.tags)

    async def _work(self, end: float) -> None:
        worker = Worker(self._store, self._registry, self._settings, now=now, heartbeat=False)
        async with trio.open_nursery() as nursery:
            await nursery.start(worker.run)
            look = FIRST_LOOK
            while (wait := await self._next_look(look)) is not None and now() + wait <= end:
                look = min(look * 2, LAST_LOOK) if wait == look else FIRST_LOOK
                await trio.sleep(wait)
            worker.quiet()

    async def _next_look(self, look: float) -> float | None:
        """Seconds; None when all has ended."""
        time = now()
        # Counted first: a job that runs now may be scheduled before the next question.
        counts = await self._store.counts()
        moved, next_due = await self._store.promote(time, SLICE)
        await self._store.expire(time, SLICE)
        busy = any(queue.get(State.QUEUED) or queue.get(State.RUNNING) for queue in counts.values())
        if moved or busy:
            return look
        return None if next_due is None else max(next_due - time, 0.0)


def now() -> float:
    """The clock of a rehearsal, driven by trio's."""
    return EPOCH + trio.current_time()


@asynccontextmanager
async def rehearsing(app: Jobs, directory: Path) -> AsyncIterator[Rehearsal]:
    """`app`, open on a database of its own in `directory`. RuntimeError where time is real."""
    if not isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock):
        raise RuntimeError(  # noqa: TRY004 - nobody passed it
            "jobs are rehearsed in virtual time: let the test take autojump_clock"
        )
    settings = _settings(directory)
    registry = Registry(map(_in_place, app.registry(settings)))
    store = SqliteStore(
        directory / "rehearsal.db",
        durable=False,
        callback=Callbacks(settings),
        run_sync=_run_in_place,
    )
    service = Service(store, registry, settings, now=now)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        await nursery.start(service.watch.run)
        with app.bound(service, settings):
            yield Rehearsal(service, store, registry)
        service.drain()
        store.close()


def _settings(directory: Path) -> Settings:
    return Settings(data_dir=str(directory / "data"), lease=FOR_EVER, poll_interval=FOR_EVER)


def _in_place(handler: Handler) -> Handler:
    if handler.is_async:
        return handler

    @wraps(handler.run)
    async def run(payload: Any, ctx: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return handler.run(payload, ctx)

    return replace(handler, run=run, isolation="async", max_memory=None)


async def _run_in_place(call: Callable[..., T], *args: Any) -> T:
    await trio.lowlevel.checkpoint()
    return call(*args)


__all__ = ["EPOCH", "Ran", "Rehearsal", "Waiting", "now", "rehearsing"]
