"""What the bodies that ask for jobs look like.

Names on the wire are the names in the code. `payload` is base64 of the bytes to store, as the first
clients sent it; `input` is the same as plain JSON.
"""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ..config import Settings
from .words import (
    BackoffWish,
    CallbackUrl,
    Deadline,
    Delay,
    Duration,
    MaxAttempts,
    Name,
    Priority,
    Tags,
    Time,
    UniqueKey,
    Wait,
    excluding,
    says,
)


def _with_unique_key(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "if": {"properties": given, "required": list(given)},
        "then": {"properties": {"unique_key": {"type": "string"}}, "required": ["unique_key"]},
    }


_PAYLOAD = [
    {"type": "string", "contentEncoding": "base64", "contentMediaType": "application/json"},
    {"not": {"type": "string"}},
]


class Options(msgspec.Struct, kw_only=True):
    """What every job may ask for. `delay`, `timeout`, `unique_for` and `wait` are seconds.

    `run_at` is RFC 3339; `deadline` too, or a number of seconds from now. Without a queue or a
    priority the job gets those of its type: the queue `default` and 0, unless its handler says.
    `callback_url` is told when the job has ended, by a job `webhook` of its own.
    """

    type: Name
    queue: Name | None = None
    priority: Priority | None = None
    delay: Delay | None = None
    run_at: Time | None = None
    timeout: Duration | None = None
    max_attempts: MaxAttempts | None = None
    deadline: Deadline | None = None
    backoff: BackoffWish = None
    unique_key: UniqueKey | None = None
    unique_for: Duration | None = None
    on_conflict: Literal["return", "replace", "reject"] = "return"
    callback_url: CallbackUrl | None = None
    wait: Wait | None = None


class JobRequest(Options, forbid_unknown_fields=True, kw_only=True):
    """A job to be. `input` is any JSON; `payload` too, but one that is a string is base64 of JSON.

    Which input is valid depends on the type: see GET /types.
    """

    SCHEMA: ClassVar = {
        "allOf": [
            {"not": {"required": ["input", "payload"]}},
            excluding("delay", "run_at"),
            _with_unique_key({"unique_for": {"type": "number"}}),
            _with_unique_key({"on_conflict": {"enum": ["replace", "reject"]}}),
        ]
    }

    EXAMPLE: ClassVar = {
        "type": "send_email",
        "input": {"to": "test@example.com", "subject": "Hello"},
    }

    input: Raw | UnsetType = UNSET
    payload: Annotated[Raw, says(anyOf=_PAYLOAD)] | UnsetType = UNSET
    tags: Tags = []


JobRequests = Annotated[list[JobRequest], says(minItems=1, maxItems=Settings().max_batch)]


class LineRequest(JobRequest, forbid_unknown_fields=True, kw_only=True):
    """A line of NDJSON: a job to be, and maybe an idempotency key of its own."""

    idempotency_key: UniqueKey | None = None


class UploadOptions(Options, kw_only=True):
    """The query parameters of a raw upload that are ours; all others are the handler's."""

    tags: str = ""
