"""What crosses the border of a store: plain records, in and out.

They are msgspec arrays because the SQLite backend passes whole batches as one JSON text; the order
of the fields is the order of the columns in `sqlite.sql`.
"""

from typing import Any, NamedTuple

import msgspec

from ..errors import InvalidInput
from ..job import CRASHES_ALLOWED, State, Verdict

UNTIL_FINISHED = 1e18
"""`unique_until` of a job that holds its key for as long as it is not finished."""


class Body(NamedTuple):
    """A payload or a result: `text` when it is JSON, else `raw_hex`."""

    text: str | None
    raw_hex: str | None

    @classmethod
    def of(cls, data: bytes, content_type: str) -> "Body":
        if is_json(content_type):
            try:
                return cls(data.decode(), None)
            except UnicodeDecodeError:  # a member that no handler looks at may hide it from them
                raise InvalidInput("JSON must be valid UTF-8") from None
        return cls(None, data.hex())


def is_json(content_type: str) -> bool:
    """True for `application/json` and `…+json`, whatever its parameters."""
    if content_type == "application/json":
        return True
    essence = content_type.partition(";")[0].strip().lower()
    return essence == "application/json" or essence.endswith("+json")


def body_bytes(text: str | None, raw_hex: str | None) -> bytes | None:
    """The stored bytes of a Body, None when there is none."""
    if text is not None:
        return text.encode()
    return None if raw_hex is None else bytes.fromhex(raw_hex)


class NewJob(msgspec.Struct, array_like=True, frozen=True):
    """A job to store; its state is `queued`, or `scheduled` until `run_at`.

    With a `unique_key`, it is stored only where no other job of its type holds that key, and holds
    it until `unique_until`. Else `on_conflict` decides: `return` leaves the holder as it is,
    `replace` gives it this one's payload, run_at and priority while it waits, `reject` refuses.
    """

    id: str
    type: str
    queue: str
    priority: int
    state: State
    max_attempts: int
    timeout: float | None
    tags: list[str] | None
    created_at: float
    run_at: float
    payload_text: str | None
    payload_hex: str | None
    content_type: str
    params: dict[str, str] | None = None
    deadline: float | None = None
    backoff: Any = None
    unique_key: str | None = None
    unique_until: float | None = None
    on_conflict: str = "return"
    traceparent: str | None = None
    visible: list[str] | None = None
    """Queues of the jobs that may stand for this one; None: any. It is not stored."""
    callback_url: str | None = None
    """Who is told when it has ended."""


class Key(NamedTuple):
    """An idempotency key: the same key and fingerprint get the same jobs, until `expires_at`."""

    key: str
    fingerprint: str
    expires_at: float


class Enqueued(NamedTuple):
    """`ids` has, for each new job, the id of the job that stands for it: its own, or that of the
    one that holds its unique key. `replayed`: the idempotency key was known, nothing is new.
    """

    ids: list[str]
    replayed: bool = False


class Progress(msgspec.Struct, frozen=True):
    """How far a job is, in units of its own."""

    done: float
    total: float | None = None
    note: str | None = None


class Error(msgspec.Struct, array_like=True, frozen=True):
    """What went wrong in the last attempt that did."""

    type: str
    message: str
    traceback: str


class Job(msgspec.Struct, array_like=True, frozen=True):
    """A job as it stands. Lists leave out the bodies: everything from `payload_text` on."""

    id: str
    type: str
    queue: str
    priority: int
    state: State
    reason: str | None
    attempt: int
    max_attempts: int
    timeout: float | None
    tags: list[str]
    version: int
    created_at: float
    updated_at: float
    run_at: float
    started_at: float | None = None
    finished_at: float | None = None
    deadline: float | None = None
    backoff: Any = None
    unique_key: str | None = None
    cancel_requested_at: float | None = None
    progress: Progress | None = None
    error: Error | None = None
    payload_text: str | None = None
    payload_hex: str | None = None
    content_type: str | None = None
    params: dict[str, str] | None = None
    result_text: str | None = None
    result_hex: str | None = None
    result_content_type: str | None = None
    traceparent: str | None = None
    callback_url: str | None = None

    @classmethod
    def fresh(cls, new: NewJob) -> "Job":
        """How `new` stands right after it was stored, without asking the store."""
        return cls(
            id=new.id,
            type=new.type,
            queue=new.queue,
            priority=new.priority,
            state=new.state,
            reason=None,
            attempt=0,
            max_attempts=new.max_attempts,
            timeout=new.timeout,
            tags=new.tags or [],
            version=1,
            created_at=new.created_at,
            updated_at=new.created_at,
            run_at=new.run_at,
            deadline=new.deadline,
            backoff=new.backoff,
            unique_key=new.unique_key,
            payload_text=new.payload_text,
            payload_hex=new.payload_hex,
            content_type=new.content_type,
            params=new.params,
            traceparent=new.traceparent,
            callback_url=new.callback_url,
        )


class Claimed(msgspec.Struct, array_like=True, frozen=True):
    """A job in the hands of a worker. `attempt` already counts this attempt."""

    id: str
    type: str
    queue: str
    attempt: int
    max_attempts: int
    crashes: int
    timeout: float | None
    lease_token: int
    started_at: float
    payload_text: str | None
    payload_hex: str | None
    content_type: str
    params: dict[str, str] | None
    deadline: float | None = None
    backoff: Any = None
    run_at: float = 0.0
    traceparent: str | None = None
    is_limited: bool = False
    """Of its queue, only so many jobs may run at a time: its end makes room for another."""
    saved: str | None = None
    """JSON that an earlier attempt has left."""
    tags: list[str] = []

    @property
    def on_last_chance(self) -> bool:
        """One more crash and it is quarantined."""
        return self.crashes >= CRASHES_ALLOWED - 1

    @property
    def lease(self) -> "Lease":
        return Lease(self.id, self.lease_token)

    @property
    def payload(self) -> bytes:
        return body_bytes(self.payload_text, self.payload_hex) or b""


class Lease(msgspec.Struct, array_like=True, frozen=True):
    """The right to end or extend one attempt of one job."""

    id: str
    token: int


class Settlement(msgspec.Struct, array_like=True, frozen=True):
    """A verdict and the lease that entitles to it."""

    id: str
    token: int
    state: State
    refund: int
    reason: str | None
    run_at: float | None
    result_text: str | None
    result_hex: str | None
    content_type: str | None
    error_type: str | None
    error_message: str | None
    error_traceback: str | None

    @classmethod
    def of(cls, lease: Lease, verdict: Verdict) -> "Settlement":
        text = raw_hex = None
        if verdict.result is not None:
            text, raw_hex = Body.of(verdict.result, verdict.content_type or "")
        error = verdict.error
        return cls(
            lease.id,
            lease.token,
            verdict.state,
            0 if verdict.charged else 1,
            verdict.reason,
            verdict.run_at,
            text,
            raw_hex,
            verdict.content_type,
            error.type if error else None,
            error.message if error else None,
            error.traceback if error else None,
        )


class LogLine(msgspec.Struct, array_like=True, frozen=True):
    """One line that a job logged; `n` counts the job's lines from 1."""

    at: float
    level: str
    message: str
    attempt: int = 0
    n: int = 0


class Report(msgspec.Struct, array_like=True, frozen=True):
    """What a running attempt has to say meanwhile: its progress, new lines, and JSON that it saves
    for the next attempt. None: as before."""

    id: str
    token: int
    progress: Progress | None
    logs: list[LogLine]
    saved: str | None = None


class Promoted(NamedTuple):
    """How many became due, and when the next one will (None: none is scheduled)."""

    moved: int
    next_due: float | None


class Expired(NamedTuple):
    """How many jobs that waited have passed their deadline, and when the next one will."""

    moved: int
    next_deadline: float | None


class Rescued(NamedTuple):
    """How many went back to their queue, and how many were quarantined as poison."""

    requeued: int
    quarantined: int


class Page(NamedTuple):
    """Jobs, newest first, and the cursor of the next page (None: this was the last)."""

    jobs: list[Job]
    next: int | None


Counts = dict[str, dict[State, int]]
"""queue -> state -> how many; zeros are left out."""
