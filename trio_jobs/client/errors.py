"""What goes wrong for a client, as one tree.

ClientError
├── ApiError              the service refuses, with a problem that it explains
│   ├── Malformed         400: the request cannot be read
│   ├── Unauthorized      401: a token is needed
│   ├── Forbidden         403: the token is not good for this
│   ├── NotFound          404: no such job, or no such part of it
│   ├── Conflict          409: the job's state, or another job, forbids this
│   ├── Outdated          412: the job has changed since it was read
│   ├── TooLarge          413: larger than a limit of the service
│   ├── Invalid           422: not what this call takes; `faults` say where
│   ├── Unavailable       429, 503: not now; it was tried until the time was over
│   └── ServerFailed      500 and the like: a bug there, or a proxy between
├── Unreachable           no connection, or it broke
├── TimedOut              the time is over
└── JobFailed             the job that was waited for failed or was cancelled
"""

from collections.abc import Mapping

import msgspec

from ..errors import TrioJobsError
from .job import Job
from .wire import Answer


class ClientError(TrioJobsError):
    """A call to the service did not do what it was to do."""


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong: `pointer` (RFC 6901) leads to it in the body that was sent."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a refusal (RFC 9457)."""

    type: str = ""
    title: str = ""
    status: int = 0
    detail: str = ""
    errors: tuple[Fault, ...] = ()
    request_id: str = ""


class ApiError(ClientError):
    """The service refuses. `problem` is its answer, `retry_after` in seconds if it named some.

    `maybe_done`: an earlier try of the call was cut off, and may have been heard.
    """

    def __init__(self, status: int, problem: Problem, retry_after: float | None = None) -> None:
        super().__init__(_sentence(status, problem))
        self.status = status
        self.problem = problem
        self.retry_after = retry_after
        self.maybe_done = False

    @property
    def kind(self) -> str:
        """The last part of the problem's type, e.g. `queue-full`."""
        return self.problem.type.rpartition("/")[2]

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong, and where."""
        return self.problem.errors


class Malformed(ApiError):
    """The request cannot be read."""


class Unauthorized(ApiError):
    """The service needs a valid token."""


class Forbidden(ApiError):
    """The token is not good for this."""


class NotFound(ApiError):
    """There is no such job, or it has no such part."""


class Conflict(ApiError):
    """The job's state, or another job, forbids this."""


class Outdated(ApiError):
    """The job has changed since it was read."""


class TooLarge(ApiError):
    """The request is larger than a limit of the service."""


class Invalid(ApiError):
    """The request is not what this call takes."""


class Unavailable(ApiError):
    """The service cannot take this right now."""


class ServerFailed(ApiError):
    """The service failed, or something between us and it."""


class Unreachable(ClientError):
    """The service cannot be reached. `maybe_done`: it may have done what was asked all the same."""

    def __init__(self, detail: str, *, maybe_done: bool = False) -> None:
        super().__init__(detail)
        self.maybe_done = maybe_done


class TimedOut(ClientError):
    """The time is over. `maybe_done`: the service may have done, or may yet do, what was asked."""

    def __init__(self, detail: str, *, maybe_done: bool = False) -> None:
        super().__init__(detail)
        self.maybe_done = maybe_done


class JobFailed(ClientError):
    """The job failed or was cancelled; `job` says why."""

    def __init__(self, job: Job) -> None:
        why = f"{job.error.type}: {job.error.message}" if job.error else job.reason
        super().__init__(f"job {job.id} ({job.type}) {job.state}" + (f": {why}" if why else ""))
        self.job = job


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Malformed,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Outdated,
    413: TooLarge,
    422: Invalid,
    429: Unavailable,
    503: Unavailable,
}


def refusal(answer: Answer) -> ApiError:
    """The error that an answer stands for; it need not come from our service."""
    try:
        problem = msgspec.json.decode(answer.body, type=Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        problem = Problem(status=answer.status, title=answer.body[:200].decode(errors="replace"))
    return from_problem(answer.status, problem, _retry_after(answer.headers))


def from_problem(status: int, problem: Problem, retry_after: float | None = None) -> ApiError:
    known = _BY_STATUS.get(status, ServerFailed if status >= 500 else ApiError)
    return known(status, problem, retry_after)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; a date is as good as nothing, since the clocks may differ."""
    text = headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _sentence(status: int, problem: Problem) -> str:
    places = [f"{fault.pointer}: {fault.detail}" for fault in problem.errors if fault.pointer]
    return "; ".join(places) or problem.detail or f"{status} {problem.title}".strip()
