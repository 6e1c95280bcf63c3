"""One run of a handler: when it must end, why it was stopped, what it says meanwhile."""

from math import inf
from typing import Any

import trio

from .. import clock
from ..job import Reason
from ..texts import Redact
from .diary import Diary, Line, Step, savable


class Attempt:
    """One run of a handler, and what the handler may know of it and say meanwhile (`registry.Ctx`).

    `timeout` is in seconds and counts from now or, in a thread or process, from `start_clock`;
    `started_at`, `now()` and the job's own deadline are in Unix seconds.

    Whoever stops an attempt says why first (`stop`); the one thing that cancels without a word is
    the scope's own deadline, and that is the timeout or the job's deadline, whichever is sooner.

    Whatever it says, its errors included, goes through `redact` before it is kept.
    """

    __slots__ = (
        "_job_deadline", "_now", "_stopped_at", "abandoned", "attempt", "content_type", "deadline",
        "diary", "in_process", "in_thread", "job_id", "max_attempts", "reason", "redact",
        "resources", "saved", "scope", "timeout", "traceparent", "upload",
    )  # fmt: skip

    def __init__(
        self,
        *,
        job_id: str,
        attempt: int,
        max_attempts: int,
        timeout: float,
        started_at: float,
        job_deadline: float = inf,
        now: clock.Now = clock.now,
        upload: bytes | None = None,
        content_type: str = "application/json",
        traceparent: str | None = None,
        in_thread: bool = False,
        in_process: bool = False,
        redact: Redact = str,
        resources: Any = None,
        saved: Any = None,
    ) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.timeout = timeout
        self.deadline = min(started_at + timeout, job_deadline)
        self.upload = upload
        self.content_type = content_type
        self.traceparent = traceparent
        self.in_thread = in_thread
        self.in_process = in_process
        self.redact = redact
        self.resources = resources
        self.saved = saved
        self._now = now
        self._job_deadline = job_deadline
        self.abandoned = False  # it ignored its cancellation, and others went on without it
        seconds_left = inf if job_deadline == inf else job_deadline - now()
        timed_out = not (in_thread or in_process) and timeout < seconds_left
        self.reason = Reason.TIMEOUT if timed_out else Reason.DEADLINE
        limit = timeout if timed_out else seconds_left
        self.scope = trio.CancelScope(deadline=trio.current_time() + limit)
        self._stopped_at: float | None = None
        self.diary: Diary | None = None  # most jobs say nothing

    def start_clock(self) -> None:
        """The timeout of a thread or process counts from here: waiting for a free one does not."""
        self.deadline = min(self._now() + self.timeout, self._job_deadline)
        limit = trio.current_time() + self.timeout
        if limit < self.scope.deadline:
            self.scope.deadline = limit
            if self._stopped_at is None:
                self.reason = Reason.TIMEOUT

    def stop(self, reason: Reason) -> None:
        """Cancels the attempt for `reason`; the first reason stays."""
        if self._stopped_at is None and not self.scope.cancel_called:
            self.reason = reason
            self._stopped_at = trio.current_time()
            self.scope.cancel()

    @property
    def stopping_since(self) -> float:
        """When it was cancelled, by trio's clock; infinitely far away while it was not."""
        return self.scope.deadline if self._stopped_at is None else self._stopped_at

    @property
    def cancel_reason(self) -> str | None:
        if self.in_thread:  # where trio's clock, and so `cancel_called`, cannot be read
            try:
                trio.from_thread.check_cancelled()
            except trio.Cancelled:
                return self.reason
            except RuntimeError:  # a thread that the handler has started by itself
                return None if self._stopped_at is None else self.reason
            return None
        return self.reason if self.scope.cancel_called else None

    def checkpoint(self) -> None:
        if self.in_thread:
            trio.from_thread.check_cancelled()

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        self.open_diary().step = Step.told(done, total, note, self.redact)

    def log(self, message: str, level: str = "INFO") -> None:
        self.open_diary().add(Line(self._now(), level, message))

    def save(self, value: object) -> None:
        self.open_diary().saved = savable(value)
        self.saved = value

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.deadline - self._now())

    def open_diary(self) -> Diary:
        """Where all it says is kept."""
        if self.diary is None:
            self.diary = Diary(self.redact)
        return self.diary
