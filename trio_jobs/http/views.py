"""JSON out: how jobs and what belongs to them look on the wire.

Names on the wire are the names in the code. `payload` and `result` are base64 of the stored bytes,
as the first clients knew them; `input` and `output` are the same as plain JSON, where it is JSON.
"""

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ..clock import to_rfc3339
from ..job import State
from ..redaction import Redactor
from ..service import Placed, Service, Why
from ..storage.records import Error, Job, LogLine, Progress, body_bytes, is_json
from ..storage.watching import AttemptRecord, QueueInfo
from .words import BackoffWish, JobId, StateWord, Status, Time


class ErrorView(msgspec.Struct):
    type: str
    message: str
    traceback: str


class JobView(msgspec.Struct, kw_only=True):
    """A job as the API shows it. Times are RFC 3339, UTC; `timeout` is in seconds."""

    id: JobId
    type: str
    status: Status
    state: StateWord
    reason: str | None
    queue: str
    priority: int
    attempt: int
    max_attempts: int
    timeout: float | None
    tags: list[str]
    created_at: Time
    updated_at: Time
    run_at: Time
    started_at: Time | None
    finished_at: Time | None
    deadline: Time | None
    backoff: BackoffWish
    unique_key: str | None
    cancel_requested_at: Time | None
    progress: Progress | None
    version: int
    error: ErrorView | None
    deduplicated: bool | UnsetType = UNSET
    payload: bytes | UnsetType | None = UNSET  # msgspec writes bytes as base64
    input: Raw | UnsetType = UNSET
    params: dict[str, str] | UnsetType = UNSET
    traceparent: str | UnsetType = UNSET
    callback_url: str | UnsetType = UNSET
    result: bytes | UnsetType | None = UNSET
    output: Raw | UnsetType = UNSET


class JobsView(msgspec.Struct):
    jobs: list[JobView]


class PageView(msgspec.Struct):
    jobs: list[JobView]
    next: str | None


class MinimalView(msgspec.Struct):
    id: JobId
    status: Status
    deduplicated: bool | UnsetType = UNSET


class AttemptView(msgspec.Struct):
    attempt: int
    started_at: Time | None
    finished_at: Time | None
    worker: str | None
    outcome: str
    error: ErrorView | None


class LogLineView(msgspec.Struct):
    n: int
    at: Time
    level: str
    attempt: int
    message: str


class ObstacleView(msgspec.Struct):
    code: str
    detail: str


class WhyView(msgspec.Struct):
    id: JobId
    status: Status
    state: StateWord
    reasons: list[ObstacleView]


class QueueView(msgspec.Struct):
    """`jobs` are counted by state; `latency` is how long the oldest due job has waited (s).

    At most `limit` of its jobs run at a time, in all processes together (null: any number). `rate`
    is how many jobs a second this process has seen end, over the last minute.
    """

    name: str
    paused: bool
    paused_at: Time | None
    jobs: dict[str, int]
    oldest_due_at: Time | None
    latency: float
    limit: int | None
    rate: float


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else to_rfc3339(seconds)


def _error(error: Error | None) -> ErrorView | None:
    return None if error is None else ErrorView(error.type, error.message, error.traceback)


BODIES = frozenset({"input", "output", "payload", "result"})


def view(job: Job, include: frozenset[str] = BODIES) -> JobView:
    """`job` as the API shows it, with those of the BODIES that `include` names.

    Those are what was stored, secrets included: a client that asks for a job by its id gets back
    what was put in. For everybody else see `passing`. (Errors, notes and log lines have lost
    their secrets before they were stored.)
    """
    shown = JobView(
        id=job.id,
        type=job.type,
        status=job.state.status,
        state=job.state,
        reason=job.reason,
        queue=job.queue,
        priority=job.priority,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        timeout=job.timeout,
        tags=job.tags,
        created_at=to_rfc3339(job.created_at),
        updated_at=to_rfc3339(job.updated_at),
        run_at=to_rfc3339(job.run_at),
        started_at=_time(job.started_at),
        finished_at=_time(job.finished_at),
        deadline=_time(job.deadline),
        backoff=job.backoff,
        unique_key=job.unique_key,
        cancel_requested_at=_time(job.cancel_requested_at),
        progress=job.progress,
        version=job.version,
        error=_error(job.error),
    )
    if "payload" in include:
        shown.payload = body_bytes(job.payload_text, job.payload_hex)
    if "input" in include:
        if job.payload_text is not None:
            shown.input = Raw(job.payload_text)
        if job.params:
            shown.params = job.params
        if job.traceparent is not None:
            shown.traceparent = job.traceparent
        if job.callback_url is not None:
            shown.callback_url = job.callback_url
    if "result" in include:
        shown.result = body_bytes(job.result_text, job.result_hex)
    if (
        "output" in include
        and job.result_text is not None
        and is_json(job.result_content_type or "")
    ):
        shown.output = Raw(job.result_text)
    return shown


def placed_view(placed: Placed, *, may_read: bool) -> JobView:
    """The job that stands for an order; without the bodies of one that somebody else has made."""
    theirs = placed.deduplicated and not may_read
    shown = view(placed.job, frozenset() if theirs else BODIES)
    if placed.deduplicated:
        shown.deduplicated = True
    return shown


def minimal_view(placed: Placed) -> MinimalView:
    shown = MinimalView(placed.job.id, placed.job.state.status)
    if placed.deduplicated:
        shown.deduplicated = True
    return shown


def attempt_view(record: AttemptRecord) -> AttemptView:
    return AttemptView(
        record.attempt,
        _time(record.started_at),
        _time(record.finished_at),
        record.worker,
        record.outcome,
        _error(record.error),
    )


def line_view(line: LogLine, redactor: Redactor) -> LogLineView:
    message = redactor.text(line.message)
    return LogLineView(line.n, to_rfc3339(line.at), line.level, line.attempt, message)


def why_view(why: Why) -> WhyView:
    job = why.job
    reasons = [ObstacleView(reason.code, reason.detail) for reason in why.reasons]
    return WhyView(job.id, job.state.status, job.state, reasons)


def queue_view(queue: QueueInfo, service: Service) -> QueueView:
    due = queue.oldest_due
    return QueueView(
        name=queue.name,
        paused=queue.paused_at is not None,
        paused_at=_time(queue.paused_at),
        jobs={state.value: queue.counts.get(state, 0) for state in State},
        oldest_due_at=_time(due),
        latency=0.0 if due is None else round(max(0.0, service.now() - due), 3),
        limit=queue.limit,
        rate=round(service.metrics.rate(queue.name), 2),
    )
