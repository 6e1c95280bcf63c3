"""A job as the client sees it."""

from datetime import datetime
from typing import Any

import msgspec

from ..job import State

_ENDED = frozenset(state.value for state in State if state.final)


class Progress(msgspec.Struct, frozen=True):
    """How far a running job says it is: `done` of `total`, and a word about it."""

    done: float | None = None
    total: float | None = None
    note: str | None = None


class JobError(msgspec.Struct, frozen=True):
    """What went wrong in the last attempt that failed."""

    type: str = ""
    message: str = ""
    traceback: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it was when the service answered. Times are UTC; `timeout` is in seconds.

    `input` and `output` are payload and result as plain JSON, None where they are not JSON;
    `payload` and `result` are the bytes. Lists leave out all four unless they are asked to
    `include` them. Fields that a newer service adds are ignored.
    """

    id: str
    type: str
    status: str
    state: str
    queue: str
    attempt: int
    max_attempts: int
    created_at: datetime
    updated_at: datetime
    run_at: datetime
    version: int
    reason: str | None = None
    priority: int = 0
    timeout: float | None = None
    tags: tuple[str, ...] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None
    deadline: datetime | None = None
    backoff: Any = None
    unique_key: str | None = None
    cancel_requested_at: datetime | None = None
    progress: Progress | None = None
    error: JobError | None = None
    deduplicated: bool = False
    payload: bytes | None = None
    input: Any = None
    params: dict[str, str] | None = None
    traceparent: str | None = None
    callback_url: str | None = None
    result: bytes | None = None
    output: Any = None

    @property
    def ended(self) -> bool:
        """Done, failed or cancelled: only a person moves it on."""
        return self.state in _ENDED

    @property
    def succeeded(self) -> bool:
        """It has a result."""
        return self.state == State.DONE
