"""Jobs and verdicts as `POST /worker/…` has them."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import msgspec

from ..job import Reason, State
from ..storage.records import Body, Claimed, Lease, Report, Settlement, is_json


class Job(msgspec.Struct):
    """A claimed job, as the service gives it."""

    id: str
    type: str
    queue: str
    attempt: int
    max_attempts: int
    lease_token: str
    payload: bytes
    content_type: str
    timeout: float | None = None
    expires_seconds: float | None = None
    backoff: Any = None
    crashes: int = 0
    params: dict[str, str] | None = None
    saved: msgspec.Raw = msgspec.Raw(b"null")
    traceparent: str | None = None
    tags: list[str] = []

    def claimed(self, token: int, now: float) -> Claimed:
        """… as a worker knows it; `token` stands for the lease here."""
        text, raw_hex = Body.of(self.payload, self.content_type)
        saved = bytes(self.saved).decode()
        return Claimed(
            id=self.id,
            type=self.type,
            queue=self.queue,
            attempt=self.attempt,
            max_attempts=self.max_attempts,
            crashes=self.crashes,
            timeout=self.timeout,
            lease_token=token,
            started_at=now,
            payload_text=text,
            payload_hex=raw_hex,
            content_type=self.content_type,
            params=self.params,
            deadline=None if self.expires_seconds is None else now + self.expires_seconds,
            backoff=self.backoff,
            run_at=now,
            traceparent=self.traceparent,
            saved=None if saved == "null" else saved,
            tags=self.tags,
        )


class Beaten(msgspec.Struct):
    """How a lease stands, as the service says."""

    id: str
    ok: bool
    cancel: str | None = None


class Ended(msgspec.Struct):
    id: str
    ok: bool


class Told(msgspec.Struct):
    """Any answer to a worker."""

    directive: str
    jobs: list[msgspec.Raw] = []
    settled: list[Ended] = []


def words(reports: Sequence[Report]) -> dict[str, Any]:
    """What a job has to say; of several reports, the later ones go on from the earlier."""
    said: dict[str, Any] = {}
    for report in reports:
        if report.progress is not None:
            said["progress"] = report.progress
        if report.saved is not None:
            said["save"] = msgspec.Raw(report.saved.encode())
        said.setdefault("logs", []).extend(
            {"level": line.level, "message": line.message} for line in report.logs
        )
    return said


def end(verdict: Settlement, now: float) -> dict[str, Any]:
    """The end of an attempt. What follows from it is judged once more, over there.

    A timeout is told as a failure: the service knows only its own clock.
    """
    after = None if verdict.run_at is None else max(0.0, verdict.run_at - now)
    error = None
    if verdict.error_type is not None:
        error = {
            "type": verdict.error_type,
            "message": verdict.error_message or "",
            "traceback": verdict.error_traceback or "",
        }
    match verdict.state:
        case State.DONE:
            return {"outcome": "done", **_result(verdict)}
        case State.QUEUED:
            return {"outcome": "release"}
        case State.SCHEDULED if verdict.reason == Reason.SNOOZED:
            return {"outcome": "snooze", "after": after}
        case State.CANCELLED:
            return {"outcome": "cancelled", "error": error}
        case _:
            retry = verdict.state is State.SCHEDULED or verdict.reason != Reason.PERMANENT
            return {"outcome": "fail", "error": error, "retry": retry, "after": after}


def _result(verdict: Settlement) -> dict[str, Any]:
    if verdict.result_text is not None and is_json(verdict.content_type or ""):
        return {"output": msgspec.Raw(verdict.result_text.encode())}
    if verdict.result_hex is None:
        return {}
    data = b64encode(bytes.fromhex(verdict.result_hex)).decode()
    return {"result": data, "content_type": verdict.content_type}


def lease(held: Lease, token: str) -> dict[str, Any]:
    return {"id": held.id, "lease_token": token}
