"""Callbacks: the `webhook` job that tells somebody of the end of another job.

It is stored in the transaction in which that one ends (see `storage.write.perform`): one for each
ending, tried again, listed and replayed as any other job.
"""

import logging
from collections.abc import Iterator
from threading import Lock
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from ..clock import to_rfc3339
from ..config import Settings
from ..ids import JobIds
from ..job import State
from ..redaction import Redactor
from ..storage.records import Error, Job, NewJob, body_bytes, is_json
from ..texts import shortened
from .hiding import hide_in_job
from .order import CALLBACK, MAX_PRIORITY, callback_payload

log = logging.getLogger(__name__)

MOST = 20_000
"""Bytes of a message: Standard Webhooks asks for no more."""
SHORT = 1_000  # characters of an error's message, where all of it is too much


class Callbacks:
    """Made once for a store, which has it called in the threads that write."""

    def __init__(self, settings: Settings) -> None:
        self._redactor = Redactor(settings.redact, settings.secrets)
        self._max_attempts = settings.max_attempts
        self._ids = JobIds()
        self._one_at_a_time = Lock()  # PostgreSQL is written to by two threads

    def __call__(self, job: Job) -> NewJob:
        """The job that tells of the end of `job`.

        It is in the same queue, since somebody works there and whoever may see the one may see the
        other; and before all others, since it is the end of something.
        """
        with self._one_at_a_time:
            id_ = self._ids.new()
        payload = callback_payload(job.callback_url or "", self._message(job))
        moment = job.updated_at
        return NewJob(
            id=id_,
            type=CALLBACK,
            queue=job.queue,
            priority=MAX_PRIORITY,
            state=State.QUEUED,
            max_attempts=self._max_attempts,
            timeout=None,
            tags=[f"callback:{job.id}"],
            created_at=moment,
            run_at=moment,
            payload_text=payload.decode(),
            payload_hex=None,
            content_type="application/json",
            traceparent=job.traceparent,
        )

    def _message(self, job: Job) -> bytes:
        message = {"type": f"job.{job.state}", "timestamp": to_rfc3339(job.updated_at)}
        try:
            for form, bodies in _forms(job):
                shown = show(hide_in_job(form, self._redactor, bodies=bodies), bodies=bodies)
                said = msgspec.json.encode({**message, "data": shown})
                if len(said) <= MOST:
                    return said
        except Exception:  # a job that cannot be shown must end all the same
            log.exception("job %s has ended and cannot be shown; its callback says little", job.id)
        return msgspec.json.encode({**message, "data": {"id": job.id, "state": job.state}})


def _forms(job: Job) -> Iterator[tuple[Job, bool]]:
    """`job` with its bodies, without them, and with its error cut short, as far as it makes sense
    to look for secrets in it: `storage.write.Endings` leaves large bodies out, tracebacks are long.
    """
    trace = "" if job.error is None else job.error.traceback
    if len(trace) < MOST:
        if job.payload_text is not None or job.payload_hex is not None:
            yield job, True
        yield job, False
    if job.error is not None:
        short = Error(job.error.type, shortened(job.error.message, SHORT), "")
        yield replace(job, error=short), False


def show(job: Job, *, bodies: bool) -> dict[str, Any]:
    """`job` as the HTTP API shows it (`http.views`, which is floors above; a test compares)."""
    shown: dict[str, Any] = {
        "id": job.id,
        "type": job.type,
        "status": job.state.status,
        "state": job.state,
        "reason": job.reason,
        "queue": job.queue,
        "priority": job.priority,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "timeout": job.timeout,
        "tags": job.tags,
        "created_at": to_rfc3339(job.created_at),
        "updated_at": to_rfc3339(job.updated_at),
        "run_at": to_rfc3339(job.run_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
        "deadline": _time(job.deadline),
        "backoff": job.backoff,
        "unique_key": job.unique_key,
        "cancel_requested_at": _time(job.cancel_requested_at),
        "progress": job.progress,
        "version": job.version,
        "error": None if job.error is None else _error(job.error),
    }
    if bodies:
        shown |= _bodies(job)
    return shown


def _bodies(job: Job) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "payload": body_bytes(job.payload_text, job.payload_hex),
        "result": body_bytes(job.result_text, job.result_hex),
    }
    if job.payload_text is not None:
        shown["input"] = Raw(job.payload_text)
    if job.result_text is not None and is_json(job.result_content_type or ""):
        shown["output"] = Raw(job.result_text)
    if job.params:
        shown["params"] = job.params
    if job.traceparent is not None:
        shown["traceparent"] = job.traceparent
    if job.callback_url is not None:
        shown["callback_url"] = job.callback_url
    return shown


def _error(error: Error) -> dict[str, str]:
    return {"type": error.type, "message": error.message, "traceback": error.traceback}


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else to_rfc3339(seconds)
