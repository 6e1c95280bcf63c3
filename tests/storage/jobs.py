"""Jobs, verdicts and bodies for the stores' tests."""

from collections.abc import Callable
from typing import Any

from trio_jobs.ids import JobIds
from trio_jobs.job import Error, Event, Reason, State, Succeeded, Verdict
from trio_jobs.storage.records import Body, Claimed, Lease, NewJob, Settlement

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


VERDICTS: dict[Event, Callable[[float], Verdict]] = {
    Event.SUCCEED: lambda _: Verdict.done(Succeeded(b'"result"')),
    Event.FAIL: lambda _: Verdict.failed(BOOM, Reason.PERMANENT),
    Event.RETRY_LATER: lambda now: Verdict.retry_at(now + 16, BOOM, Reason.RETRY),
    Event.SNOOZE: lambda now: Verdict.snoozed_until(now + 60),
    Event.RELEASE: lambda _: Verdict.released(),
    Event.CANCEL: lambda _: Verdict.cancelled(Reason.CANCELLED),
}
"""Every verdict that a worker may bring, by its event."""


def settlement(lease: Lease, event: Event = Event.SUCCEED, now: float = EPOCH) -> Settlement:
    return Settlement.of(lease, VERDICTS[event](now))


def with_result(job: Claimed, result: bytes, content_type: str = "application/json") -> Settlement:
    return Settlement.of(job.lease, Verdict.done(Succeeded(result, content_type)))


async def claim(
    store: Any,
    limit: int = 10,
    *types: str,
    worker: str = "remote-1",
    now: float = EPOCH,
    lease: float = LEASE,
) -> list[Claimed]:
    """Claims jobs of `types` (default: noop)."""
    found: list[Claimed] = await store.claim(worker, types or ["noop"], limit, now, now + lease)
    return found


async def claim_one(store: Any, **options: Any) -> Claimed:
    [job] = await claim(store, 1, **options)
    return job
