"""The life of a job: the states, who moves a job on, and how an attempt is judged.

Pure: no clock, no dice, no I/O. The law of this file:

    every change of state in trio_jobs is a row of TRANSITIONS, and every ended attempt goes
    through `judge`.

The store applies it as guarded updates (`… where state = 'running' and lease_token = ?`), so the
database decides races and this table decides what is legal.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from .backoff import Backoff

CRASHES_ALLOWED = 3
"""A lease that ends with no outcome this many times quarantines its job (reason `poison`)."""


class State(StrEnum):
    """The exact word for where a job is; `status` is the seed's coarser one."""

    SCHEDULED = "scheduled"  # waits for run_at; promote moves it on
    QUEUED = "queued"  # may be claimed now; a claim moves it on
    RUNNING = "running"  # a worker holds its lease; settle, rescue or cancel moves it on
    WAITING = "waiting"  # waits for other jobs; the last of those jobs moves it on
    DONE = "done"  # has a result; only a person moves it on (retry)
    FAILED = "failed"  # attempts used up, or failed for good; only a person (retry)
    CANCELLED = "cancelled"  # stopped by a person, its deadline or its parent; only a person

    @property
    def status(self) -> str:
        """`pending`, `running`, `done` or `failed`: a client of the seed still stops polling."""
        return _STATUS[self]

    @property
    def final(self) -> bool:
        return not TRANSITIONS[self].keys() - {Event.RETRY}


class Event(StrEnum):
    """What can happen to a job."""

    PROMOTE = "promote"  # run_at has come
    READY = "ready"  # the last job it waited for is done
    CLAIM = "claim"  # a worker takes it and draws a lease token
    SUCCEED = "succeed"  # its handler returned
    FAIL = "fail"  # its handler failed, and no attempt is left or none would help
    RETRY_LATER = "retry_later"  # its handler failed, and another attempt follows
    SNOOZE = "snooze"  # its handler asks to come back later, uncharged
    RELEASE = "release"  # handed back unharmed (shutdown), uncharged
    RESCUE = "rescue"  # its lease ran out with no outcome
    QUARANTINE = "quarantine"  # … for the third time
    CANCEL = "cancel"  # a person, its deadline or its parent stops it
    POSTPONE = "postpone"  # a person moves its run_at into the future
    RETRY = "retry"  # a person gives it fresh attempts


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.SCHEDULED: {
        Event.PROMOTE: State.QUEUED,
        Event.CANCEL: State.CANCELLED,
    },
    State.QUEUED: {
        Event.CLAIM: State.RUNNING,
        Event.POSTPONE: State.SCHEDULED,
        Event.CANCEL: State.CANCELLED,
    },
    State.RUNNING: {
        Event.SUCCEED: State.DONE,
        Event.FAIL: State.FAILED,
        Event.RETRY_LATER: State.SCHEDULED,
        Event.SNOOZE: State.SCHEDULED,
        Event.RELEASE: State.QUEUED,
        Event.RESCUE: State.QUEUED,
        Event.QUARANTINE: State.FAILED,
        Event.CANCEL: State.CANCELLED,
    },
    State.WAITING: {
        Event.READY: State.QUEUED,
        Event.CANCEL: State.CANCELLED,
    },
    State.DONE: {Event.RETRY: State.QUEUED},
    State.FAILED: {Event.RETRY: State.QUEUED},
    State.CANCELLED: {Event.RETRY: State.QUEUED},
}

_STATUS: dict[State, str] = {
    State.SCHEDULED: "pending",
    State.QUEUED: "pending",
    State.RUNNING: "running",
    State.WAITING: "pending",
    State.DONE: "done",
    State.FAILED: "failed",
    State.CANCELLED: "failed",
}


def states_with_status(status: str) -> list[State]:
    """The states that a client of the seed sees as `status`; empty for an unknown word."""
    return [state for state, word in _STATUS.items() if word == status]


class Reason(StrEnum):
    """Why a job is in its state, when that is not plain.

    Whoever stops an attempt records one of the first five before cancelling its scope.
    """

    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    SHUTDOWN = "shutdown"
    LEASE_LOST = "lease_lost"
    DEADLINE = "deadline"
    RETRY = "retry"
    SNOOZED = "snoozed"
    POISON = "poison"
    PERMANENT = "permanent"


# ── How an attempt ended ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Error:
    """What went wrong in an attempt; all three are text that a person may read."""

    type: str
    message: str
    traceback: str = ""


class Succeeded(NamedTuple):
    """The handler returned `result`, already encoded; None when it returned nothing."""

    result: bytes | None = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler raised. `permanent`: no further attempt would help."""

    error: Error
    permanent: bool = False
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The handler asks to be run again in `seconds`; nothing is charged."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """The attempt was cancelled, for `reason`: from outside, or by a handler that raised Cancel."""

    reason: Reason
    error: Error | None = None


Outcome = Succeeded | Failed | Snoozed | Stopped


# ── What follows from it ──────────────────────────────────────────────────────────────────────


class Attempted(Protocol):
    """The part of a claimed job that a verdict depends on."""

    @property
    def attempt(self) -> int: ...
    @property
    def max_attempts(self) -> int: ...


class Verdict(NamedTuple):
    """How a running job moves on. Made only by the constructors below.

    A tuple, as `Succeeded`: one is made for every job, in a quarter of a frozen dataclass's time.
    """

    event: Event
    charged: bool = True  # False: the attempt is given back
    reason: Reason | None = None
    run_at: float | None = None  # set exactly when the new state is scheduled
    error: Error | None = None
    result: bytes | None = None
    content_type: str | None = None

    @property
    def state(self) -> State:
        return TRANSITIONS[State.RUNNING][self.event]

    @classmethod
    def done(cls, outcome: Succeeded) -> "Verdict":
        content_type = None if outcome.result is None else outcome.content_type
        return cls(Event.SUCCEED, result=outcome.result, content_type=content_type)

    @classmethod
    def failed(cls, error: Error, reason: Reason | None) -> "Verdict":
        return cls(Event.FAIL, reason=reason, error=error)

    @classmethod
    def retry_at(cls, run_at: float, error: Error, reason: Reason) -> "Verdict":
        return cls(Event.RETRY_LATER, reason=reason, run_at=run_at, error=error)

    @classmethod
    def snoozed_until(cls, run_at: float) -> "Verdict":
        return cls(Event.SNOOZE, charged=False, reason=Reason.SNOOZED, run_at=run_at)

    @classmethod
    def released(cls) -> "Verdict":
        return cls(Event.RELEASE, charged=False, reason=Reason.SHUTDOWN)

    @classmethod
    def cancelled(cls, reason: Reason, error: Error | None) -> "Verdict":
        return cls(Event.CANCEL, reason=reason, error=error)


def judge(job: Attempted, outcome: Outcome, now: float, backoff: Backoff) -> Verdict | None:
    """What becomes of a running job whose attempt ended with `outcome` at `now`.

    None when there is nothing left to say: the lease was lost, the job is somebody else's.
    """
    match outcome:
        case Succeeded():
            return Verdict.done(outcome)
        case Snoozed(seconds):
            return Verdict.snoozed_until(now + seconds)
        case Failed(error, permanent=True):
            return Verdict.failed(error, Reason.PERMANENT)
        case Failed(error, retry_after=after):
            return _again(job, error, Reason.RETRY, None, now, backoff, after)
        case Stopped(Reason.LEASE_LOST):
            return None
        case Stopped(Reason.SHUTDOWN):
            return Verdict.released()
        case Stopped(Reason.TIMEOUT, error):
            error = error or Error("Timeout", "the attempt took longer than its timeout")
            return _again(job, error, Reason.TIMEOUT, Reason.TIMEOUT, now, backoff)
        case Stopped(reason, error):
            return Verdict.cancelled(reason, error)


def _again(
    job: Attempted,
    error: Error,
    while_retrying: Reason,
    when_failed: Reason | None,
    now: float,
    backoff: Backoff,
    after: float | None = None,
) -> Verdict:
    """Another attempt while there is one; `after` seconds (the handler's wish) or by backoff."""
    if job.attempt >= job.max_attempts:
        return Verdict.failed(error, when_failed)
    wait = backoff.seconds(job.attempt) if after is None else after
    return Verdict.retry_at(now + wait, error, while_retrying)
