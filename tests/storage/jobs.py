"""Jobs, verdicts and bodies for the stores' tests."""

from collections.abc import Callable
from typing import Any

from trio_jobs.ids import JobIds
from trio_jobs.job import Error, Event, Reason, State, Succeeded, Verdict
from trio_jobs.storage.records import UNTIL_FINISHED, Body, Claimed, Job, Lease, NewJob, Settlement
from trio_jobs.storage.wishes import Filter

from ..conftest import EPOCH

BOOM = Error("ValueError", "boom", "Traceback …")
LEASE = 30.0
_ids = JobIds()


def new_job(
    payload: bytes = b"{}", content_type: str = "application/json", **changes: Any
) -> NewJob:
    """A queued job of type `noop`, unless told otherwise."""
    text, raw_hex = Body.of(payload, content_type)
    fields: dict[str, Any] = {
        "id": _ids.new(),
        "type": "noop",
        "queue": "default",
        "priority": 0,
        "state": State.QUEUED,
        "max_attempts": 5,
        "timeout": None,
        "tags": None,
        "created_at": EPOCH,
        "run_at": EPOCH,
        "payload_text": text,
        "payload_hex": raw_hex,
        "content_type": content_type,
    }
    return NewJob(**{**fields, **changes})


def due_in(seconds: float, **changes: Any) -> NewJob:
    """A scheduled job."""
    return new_job(state=State.SCHEDULED, run_at=EPOCH + seconds, **changes)


def keyed(key: str, until: float = UNTIL_FINISHED, **changes: Any) -> NewJob:
    """A job with a unique key."""
    return new_job(**{"unique_key": key, "unique_until": until, **changes})


VERDICTS: dict[Event, Callable[[float], Verdict]] = {
    Event.SUCCEED: lambda _: Verdict.done(Succeeded(b'"result"')),
    Event.FAIL: lambda _: Verdict.failed(BOOM, Reason.PERMANENT),
    Event.RETRY_LATER: lambda now: Verdict.retry_at(now + 16, BOOM, Reason.RETRY),
    Event.SNOOZE: lambda now: Verdict.snoozed_until(now + 60),
    Event.RELEASE: lambda _: Verdict.released(),
    Event.CANCEL: lambda _: Verdict.cancelled(Reason.CANCELLED, None),
}
"""Every verdict that a worker may bring, by its event."""


def settlement(lease: Lease, event: Event = Event.SUCCEED, now: float = EPOCH) -> Settlement:
    return Settlement.of(lease, VERDICTS[event](now))


async def job_of(store: Any, id_: str) -> Job:
    found: dict[str, Job] = await store.get([id_])
    return found[id_]


async def state_of(store: Any, id_: str) -> State:
    return (await job_of(store, id_)).state


async def all_jobs(store: Any, **filter_: Any) -> list[Job]:
    """Every job that matches, newest first."""
    jobs: list[Job] = (await store.list_jobs(Filter(**filter_), before=None, limit=1_000)).jobs
    return jobs


WAYS = {
    State.SCHEDULED: Event.RETRY_LATER,
    State.QUEUED: Event.RELEASE,
    State.RUNNING: None,
    State.DONE: Event.SUCCEED,
    State.FAILED: Event.FAIL,
    State.CANCELLED: Event.CANCEL,
}
"""The verdict that brings a running job to each state that a store has jobs in by now."""


async def bring_to(store: Any, state: State, job: NewJob | None = None) -> Claimed:
    """A job in `state` that was claimed once before, and that old lease."""
    job = job or new_job()
    await store.enqueue([job])
    [held] = await claim(store, 1, job.type)
    assert held.id == job.id
    if (event := WAYS[state]) is not None:
        await store.settle([settlement(held.lease, event)], EPOCH)
    return held


def with_result(job: Claimed, result: bytes, content_type: str = "application/json") -> Settlement:
    return Settlement.of(job.lease, Verdict.done(Succeeded(result, content_type)))


def count_steps(db: Any) -> list[None]:
    """Grows by one for each hundred steps that SQLite takes on this connection."""
    steps: list[None] = []

    def step() -> bool:
        steps.append(None)
        return False

    db.set_progress_handler(step, 100)
    return steps


async def claim(
    store: Any,
    limit: int = 10,
    *types: str,
    worker: str = "remote-1",
    now: float = EPOCH,
    lease: float = LEASE,
    **options: Any,
) -> list[Claimed]:
    """Claims jobs of `types` (default: noop)."""
    found: list[Claimed] = await store.claim(
        worker, types or ["noop"], limit, now, now + lease, **options
    )
    return found


async def claim_one(store: Any, **options: Any) -> Claimed:
    [job] = await claim(store, 1, **options)
    return job
