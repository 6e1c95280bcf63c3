"""Every exception that trio_jobs raises on purpose, as one tree.

    TrioJobsError
    ├── InvalidInput          the caller's: what was sent cannot be accepted
    │   ├── UnknownType       the caller's: no handler has this name
    │   └── TooLarge          the caller's: more bytes or jobs than a limit allows
    ├── NotFound              the caller's: no such job
    ├── Conflict              the caller's: the job's state, or a key, forbids it
    │   ├── KeyReused         the caller's: an Idempotency-Key came with another request
    │   ├── Outdated          the caller's: the job has changed since it was read
    │   └── LeaseLost         the worker's: it came too late, the job is somebody else's
    ├── Denied                the caller's: the token is not good for this
    ├── Unavailable           nobody's, for a moment: draining, or the store is busy
    │   ├── QueueFull         as many jobs wait in a queue as may
    │   └── Uncertain         an error after COMMIT was sent: it may or may not be stored
    ├── StoreError            the operator's: the database cannot be opened or trusted
    │   ├── StoreLocked       the operator's: another process owns the file
    │   ├── MoveRefused       the operator's: a database is not fit to be moved, or moved to
    │   ├── SchemaMismatch    the operator's: written by a newer trio_jobs
    │   └── StoreBroken       the machine's: an I/O error; fatal, never retried
    ├── JobFailed             the handler's: the job that was waited for has no result
    ├── TimedOut              nobody's: it has not ended yet
    ├── NotOpen               the program's: it enqueues where nothing is open
    ├── ConfigError           the operator's: a setting is wrong
    └── Steering              raised by a handler to say how its attempt ends
        ├── Fail              for good, no more attempts
        ├── Retry             again, after `after` seconds when given
        ├── Snooze            again in `seconds`, uncharged
        └── Cancel            the job is to be cancelled

The docstring of a class is the sentence a user may read.
"""


class TrioJobsError(Exception):
    """Something that trio_jobs knows about went wrong."""


class InvalidInput(TrioJobsError):
    """The request is not valid.

    `pointer` is an RFC 6901 JSON pointer to the member at fault ("" is the whole body).
    """

    def __init__(self, detail: str, pointer: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer


class UnknownType(InvalidInput):
    """No handler has this type."""


class TooLarge(InvalidInput):
    """The request is larger than a limit allows."""


class NotFound(TrioJobsError):
    """There is no such job."""


class Conflict(TrioJobsError):
    """The job's state, or another job, forbids this."""


class KeyReused(Conflict):
    """The Idempotency-Key was used before, with another request."""


class Outdated(Conflict):
    """The job has changed since it was read."""


class LeaseLost(Conflict):
    """The lease has run out, or the attempt has ended: nothing has changed."""


class Denied(TrioJobsError):
    """The caller may not ask for this; `scope` is what would allow it, if one does."""

    def __init__(self, detail: str, scope: str = "") -> None:
        super().__init__(detail)
        self.scope = scope


class Unavailable(TrioJobsError):
    """The service cannot take this right now; try again in `retry_after` seconds."""

    def __init__(self, detail: str, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class QueueFull(Unavailable):
    """No more jobs may wait in this queue."""


class Uncertain(Unavailable):
    """The database failed while committing: the job may or may not be stored."""


class StoreError(TrioJobsError):
    """The database cannot be used."""


class StoreLocked(StoreError):
    """Another process owns this database file."""


class MoveRefused(StoreError):
    """A database cannot be moved, or moved to, as it is."""


class SchemaMismatch(StoreError):
    """The database was written by a newer version of trio_jobs."""


class StoreBroken(StoreError):
    """The database failed to read or write its file; the process must stop."""


class JobFailed(TrioJobsError):
    """The job has failed or was cancelled.

    `state` is `failed` or `cancelled`, `reason` why, if one is known; `type`, `message` and
    `traceback` are of the error that its last attempt ended with ("" without one).
    """

    def __init__(
        self, id: str, state: str, reason: str | None, type: str, message: str, traceback: str
    ) -> None:
        why = f"{type}: {message}" if type else reason or "no error is known"
        super().__init__(f"Job {id} is {state}: {why}")
        self.id = id
        self.state = state
        self.reason = reason
        self.type = type
        self.message = message
        self.traceback = traceback


class TimedOut(TrioJobsError, TimeoutError):
    """The job has not ended within the time that was given; it goes on."""


class NotOpen(TrioJobsError):
    """The app has no database open to put jobs into."""


class ConfigError(TrioJobsError):
    """A setting is wrong."""


class Steering(TrioJobsError):
    """Raised by a handler: not an accident but a decision."""


class Fail(Steering):
    """This job has failed for good: no further attempt is made."""


class Retry(Steering):
    """This attempt failed and another should follow, `after` seconds from now when given.

    It is charged as an attempt; when none is left the job has failed.
    """

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Snooze(Steering):
    """Nothing to do yet: the job comes back in `seconds`, and no attempt is charged."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"come back in {seconds} s")
        self.seconds = seconds


class Cancel(Steering):
    """This job is to be cancelled: nobody needs it any more."""
