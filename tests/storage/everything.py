"""A database with a job in every state and all that can belong to one, and what is seen of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from trio_jobs.config import Settings
from trio_jobs.job import Event, State
from trio_jobs.registry import Registry
from trio_jobs.service import Service
from trio_jobs.storage import is_postgres, sqlite_path
from trio_jobs.storage.records import Job, Key, LogLine, Progress, Report
from trio_jobs.storage.remote import Directive, Seen
from trio_jobs.storage.sqlite import SqliteStore
from trio_jobs.storage.tokens import Token

from ..conftest import EPOCH, in_place
from .jobs import bring_to, claim, due_in, keyed, new_job, settlement, with_result

STRANGE = 'ünï\U0001f600 "quoted" \\u0000 \\ \t\n\U0010ffff'
FAR = 3e9


@asynccontextmanager
async def serving(url: str) -> AsyncIterator[Any]:
    """A store on it."""
    if is_postgres(url):
        from trio_jobs.storage.postgres import PostgresStore

        store: Any = PostgresStore(url, run_sync=in_place, listen=False)
    else:
        store = SqliteStore(sqlite_path(url), run_sync=in_place)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        yield store
        store.close()


async def fill(store: Any, more: int = 0) -> None:
    """All of it; and `more` jobs that wait."""
    for state in (State.SCHEDULED, State.RUNNING, State.DONE, State.FAILED, State.CANCELLED):
        await bring_to(store, state, new_job(queue=f"in {state}", priority=9))
    await store.enqueue([new_job(b"\x00\xff raw", "application/octet-stream", type="raw")])
    [raw] = await claim(store, 1, "raw")
    await store.settle([with_result(raw, b"\x00\xfe", "image/png")], EPOCH)
    await store.enqueue([new_job(b"", "text/plain", type="raw", params={"name": STRANGE})])
    await store.enqueue(
        [
            new_job(
                b'{"nul": "\\u0000", "o": {"b": 1, "a": 1.50}}',
                tags=["ä", "b"],
                queue="a",
                type="t",
            )
        ],
        Key("key é", "print", FAR),
    )
    await store.enqueue(
        [
            keyed("until it ends", type="u", traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01"),
            keyed("for a while", EPOCH + 0.1 + 0.2, type="u", backoff={"base": 0.1, "max": 1e9}),
            due_in(1e6 / 3, timeout=0.1, deadline=EPOCH + 2e9 / 3, max_attempts=7, priority=-5),
        ]
    )
    await _speak(store)
    await store.enqueue([new_job(type="rest", created_at=EPOCH + n / 7) for n in range(more)])
    await store.pause("a", EPOCH + 0.7)
    await store.limit("b", 3)
    await store.add_token(Token("t1", "h1", "näme", ["jobs:read"], ["t"], None, EPOCH, None))
    await store.add_token(Token("t2", "h2", "", ["admin"], None, ["q", "ü"], EPOCH, EPOCH + 0.1))
    await store.saw([Seen("w ö", EPOCH, ["print"], ["q"])], workers_since=0.0, types_since=0.0)
    await store.direct(["w ö"], Directive.QUIET)
    await store.enqueue([new_job(type="tells", callback_url="https://example.com/é")])
    await store.enqueue([new_job(type="gone")])
    [gone] = await claim(store, 1, "gone")
    await store.settle([settlement(gone.lease, Event.FAIL)], EPOCH)
    await store.remove([gone.id])


async def _speak(store: Any) -> None:
    """A job that has logged, saved, failed, and runs again."""
    await store.enqueue([new_job(type="talks")])
    for attempt in (1, 2):
        [held] = await claim(store, 1, "talks", now=EPOCH + 1e3 * attempt)
        lines = [LogLine(EPOCH + n / 3, "info", f"{STRANGE}\0{n}") for n in range(3)]
        report = Report(
            held.id, held.lease_token, Progress(1 / 3, 1.0, f"{STRANGE}\0"), lines, '{"at":1}'
        )
        await store.report([report], EPOCH + 0.1)
        if attempt == 1:
            await store.settle([settlement(held.lease, Event.RELEASE)], EPOCH + 0.2)
    await store.cancel([held.id], EPOCH + 3e3)


def _in_one_case(job: Job) -> Job:
    """The dialects write hexadecimal digits in different ones."""
    payload, result = job.payload_hex, job.result_hex
    return msgspec.structs.replace(
        job, payload_hex=payload and payload.lower(), result_hex=result and result.lower()
    )


async def seen(url: str) -> dict[str, Any]:
    """All that the API shows."""
    async with serving(url) as store:
        service = Service(store, Registry([]), Settings(), now=lambda: EPOCH)
        jobs = (await service.list_jobs(limit=500)).jobs
        return {
            "jobs": jobs,
            "bodies": [_in_one_case(await service.get(job.id)) for job in jobs],
            "attempts": [await service.attempts(job.id) for job in jobs],
            "logs": [await service.logs(job.id) for job in jobs],
            "queues": await service.queues(),
            "counts": await store.counts(),
            "tokens": await store.tokens(),
            "elsewhere": await store.roster(),
        }
