"""What a log line is about: the request that is being answered, the job that is being run.

Both are context variables, so that whoever logs, also in a library and in a thread of a handler,
needs not know them.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Protocol

EXTRA = "trio_jobs"
"""The name in `extra=` under which a call to `logging` gives fields of its own."""


class Attempted(Protocol):
    """A job in the hands of a worker, as far as its log lines name it."""

    @property
    def id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def attempt(self) -> int: ...


request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
job: ContextVar[Attempted | None] = ContextVar("job", default=None)


def fields() -> dict[str, object]:
    """What the code that is running now works for, as fields of a line."""
    found: dict[str, object] = {}
    if (name := request_id.get()) is not None:
        found["request_id"] = name
    if (running := job.get()) is not None:
        found |= _of(running)
    return found


def about(of: Attempted) -> Mapping[str, dict[str, object]]:
    """For `extra=`, where the engine speaks about a job outside its context."""
    return {EXTRA: _of(of)}


def about_id(job_id: str) -> Mapping[str, dict[str, object]]:
    """The same where no more than its id is known."""
    return {EXTRA: {"job_id": job_id}}


def _of(of: Attempted) -> dict[str, object]:
    return {"job_id": of.id, "attempt": of.attempt, "type": of.type, "queue": of.queue}
