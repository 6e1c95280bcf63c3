"""A service on a real store with nobody who works, and hands that play the worker."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from trio_jobs.config import Settings
from trio_jobs.job import Error, Failed, Reason, Snoozed, Stopped, Succeeded, judge
from trio_jobs.registry import Ctx, Handler, Registry
from trio_jobs.service import Hands, Order, Service
from trio_jobs.storage.records import Claimed, Job, Settlement
from trio_jobs.storage.sqlite import SqliteStore

from ..conftest import in_place, now


class Loose(msgspec.Struct):
    """Input that does not look at members it does not know."""

    n: int = 0


async def run(_input: object, _ctx: Ctx) -> None:
    """A handler."""


HANDLERS = [
    Handler("any", run, input=Any),
    Handler("loose", run, input=Loose, max_attempts=2),
    Handler("file", run, input=Loose, accepts_upload=True),
]
SUCCEEDED = Succeeded(b"{}")
FAILED = Failed(Error("Oops", "it broke", ""))
BROKEN = Failed(Error("Oops", "it broke", ""), permanent=True)
SNOOZED = Snoozed(600.0)
CANCELLED = Stopped(Reason.CANCELLED)


@dataclass
class Queue:
    """The service and, for what only a worker can do, the store beneath it."""

    store: SqliteStore
    service: Service

    async def enqueue(self, type_: str = "any", payload: object = None, **options: Any) -> str:
        body = msgspec.json.encode({} if payload is None else payload)
        [placed] = await self.service.enqueue([Order(type=type_, payload=body, **options)])
        return placed.job.id

    async def claim(self, limit: int = 1) -> list[Claimed]:
        moment = now()
        types = [handler.type for handler in HANDLERS]
        return await self.store.claim("worker", types, limit, moment, moment + 3_600)

    async def settle(self, job: Claimed, outcome: Any) -> None:
        verdict = judge(job, outcome, now(), HANDLERS[0].backoff)
        assert verdict is not None
        await self.store.settle([Settlement.of(job.lease, verdict)], now())

    async def end(self, id_: str, outcome: Any = SUCCEEDED) -> Job:
        """The job after an attempt with this outcome."""
        claimed = {job.id: job for job in await self.claim(1_000)}
        await self.settle(claimed.pop(id_), outcome)
        assert not claimed, "only the job that is meant may be waiting"
        return await self.service.get(id_)

    async def end_all(self) -> None:
        for job in await self.claim(1_000):
            await self.settle(job, SUCCEEDED)


StartQueue = Callable[..., Awaitable[Queue]]


@pytest.fixture
def start_queue(tmp_path: Path, nursery: trio.Nursery) -> StartQueue:
    """`await start_queue(hands=…, **settings)`; the watch runs unless `watched` is False."""

    async def start(*, hands: Hands | None = None, watched: bool = True, **changes: Any) -> Queue:
        store = SqliteStore(tmp_path / "jobs.db", run_sync=in_place)
        await nursery.start(store.run)
        settings = Settings(**changes)
        service = Service(store, Registry(HANDLERS), settings, now=now, hands=lambda: hands)
        if watched:
            await nursery.start(service.watch.run)
        return Queue(store, service)

    return start
