"""From what a worker elsewhere says of an attempt to its verdict: judged here, as for our own."""

from contextlib import suppress

from ...backoff import Backoff
from ...config import Settings
from ...executor.description import MAX_MESSAGE, MAX_NAME, MAX_TRACEBACK
from ...job import Error, Failed, Outcome, Reason, Snoozed, Stopped, Succeeded, Verdict, judge
from ...redaction import Redactor
from ...storage.remote import Standing
from ...texts import shortened
from ..types import Types
from .asks import End, Ending

NO_ERROR = Error("Failed", "the worker did not say why")

_SETTLED_AS: dict[Ending, set[str]] = {
    Ending.DONE: {"done"},
    Ending.FAIL: {Reason.RETRY, Reason.PERMANENT, "failed", Reason.CANCELLED},
    Ending.RELEASE: {Reason.SHUTDOWN, Reason.CANCELLED},
    Ending.SNOOZE: {Reason.SNOOZED, Reason.CANCELLED},
    Ending.CANCELLED: {Reason.CANCELLED, Reason.DEADLINE, Reason.TIMEOUT},
}
"""What an attempt may have been settled as, by how it ended: one that was asked to stop, and would
have waited again, is cancelled instead."""


class Judge:
    """Knows the rules of each type; of a type without a handler here, those of the settings."""

    def __init__(self, types: Types, settings: Settings, redactor: Redactor) -> None:
        self._types = types
        self._settings = settings
        self._redact = redactor.text

    def verdict(self, end: End, job: Standing, now: float) -> Verdict:
        """What becomes of a job whose attempt ended so."""
        backoff = self._types.terms(job.type).backoff
        if job.backoff is not None:
            with suppress(ValueError):  # written by a version that knew more kinds
                backoff = Backoff.of(job.backoff)
        verdict = judge(job, self._outcome(end, job, now), now, backoff)
        assert verdict is not None, "the lease is held"  # noqa: S101 - only a lost one has none
        return verdict

    def stop(self, job: Standing, now: float, timeout: float | None = None) -> Reason | None:
        """Why this attempt has to end now; None: it may go on. `timeout` is what the worker knows
        of a type that is unknown here."""
        if job.cancel_requested_at is not None:
            return Reason.CANCELLED
        if job.deadline is not None and job.deadline <= now:
            return Reason.DEADLINE
        timeout = self.timeout(job.type, job.timeout, timeout)
        if job.started_at is not None and job.started_at + timeout <= now:
            return Reason.TIMEOUT
        return None

    def timeout(self, type_: str, own: float | None, theirs: float | None = None) -> float:
        """How long an attempt may take: as the job itself says, its type, the worker, or else the
        settings."""
        return own or self._types.terms(type_).timeout or theirs or self._settings.job_timeout

    @staticmethod
    def is_again(end: End, job: Standing) -> bool:
        """Was this very end accepted before, and only the answer lost?"""
        return job.settled_as is not None and job.settled_as in _SETTLED_AS[end.ending]

    def _outcome(self, end: End, job: Standing, now: float) -> Outcome:
        error = None if end.error is None else self._described(end.error)
        match end.ending:
            case Ending.DONE:
                return self._done(end)
            case Ending.FAIL:
                return Failed(error or NO_ERROR, permanent=not end.retry, retry_after=end.after)
            case Ending.SNOOZE:
                return Snoozed(end.after or 0.0)
            case Ending.RELEASE:
                return Stopped(Reason.SHUTDOWN)
            case Ending.CANCELLED:
                return Stopped(self.stop(job, now) or Reason.CANCELLED, error)

    def _done(self, end: End) -> Outcome:
        size, limit = len(end.result or b""), self._settings.max_result
        if size > limit:
            message = f"the result has {size:,} bytes; the limit (max_result) is {limit:,}"
            return Failed(Error("ResultTooLarge", message), permanent=True)
        return Succeeded(end.result, end.content_type)

    def _described(self, error: Error) -> Error:
        return Error(
            shortened(error.type, MAX_NAME) or NO_ERROR.type,
            shortened(error.message, MAX_MESSAGE, self._redact),
            shortened(error.traceback, MAX_TRACEBACK, self._redact),
        )
