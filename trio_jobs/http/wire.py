"""JSON in, JSON out: what the API's bodies look like, and nothing of how they travel.

Names on the wire are the names in the code. `payload` and `result` are base64 of the stored bytes,
as the first clients knew them; `input` and `output` are the same as plain JSON, where it is JSON.
"""

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ..clock import from_rfc3339, to_rfc3339
from ..errors import InvalidInput, TooLarge
from ..registry import invalid_input
from ..service import Order
from ..storage.records import Job, body_bytes, is_json
from .problems import Malformed, UnsupportedMediaType

# ── in ────────────────────────────────────────────────────────────────────────────────────────


class Options(msgspec.Struct, kw_only=True):
    """What every job may ask for. `delay` and `timeout` are seconds, `run_at` is RFC 3339."""

    type: str
    queue: str = "default"
    priority: int = 0
    delay: float | None = None
    run_at: str | None = None
    timeout: float | None = None
    max_attempts: int | None = None


class JobRequest(Options, forbid_unknown_fields=True, kw_only=True):
    """The body of POST /jobs."""

    input: Raw | UnsetType = UNSET
    payload: Raw | UnsetType = UNSET
    tags: list[str] = []


class UploadOptions(Options, kw_only=True):
    """The query parameters of a raw upload that are ours; all others are the handler's."""

    tags: str = ""


_one = msgspec.json.Decoder(JobRequest)
_many = msgspec.json.Decoder(list[JobRequest])


def parse_json(body: bytes, max_jobs: int) -> tuple[list[Order], bool]:
    """The jobs of a JSON body, and whether they came as an array.

    Raises Malformed (not JSON), InvalidInput (JSON, but not this).
    """
    many = body.lstrip()[:1] == b"["
    try:
        body.decode()  # msgspec does not look into what it passes through as Raw
        requests: list[JobRequest] = _many.decode(body) if many else [_one.decode(body)]
    except msgspec.ValidationError as error:
        raise invalid_input(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"The body is not JSON: {error}.") from None
    if not requests:
        raise InvalidInput("an empty array has no jobs")
    if len(requests) > max_jobs:
        raise TooLarge(
            f"{len(requests):,} jobs in one array; the limit (max_batch) is {max_jobs:,}"
        )
    orders = []
    for index, request in enumerate(requests):
        try:
            orders.append(_order(request, request.tags, _payload(request), "application/json"))
        except InvalidInput as error:
            if many:
                error.pointer = f"/{index}{error.pointer}"
            raise
    return orders, many


def _order(
    options: Options,
    tags: list[str],
    payload: bytes,
    content_type: str,
    params: dict[str, str] | None = None,
) -> Order:
    return Order(
        type=options.type,
        payload=payload,
        content_type=content_type,
        params=params,
        queue=options.queue,
        priority=options.priority,
        delay=options.delay,
        run_at=_time("run_at", options.run_at),
        timeout=options.timeout,
        max_attempts=options.max_attempts,
        tags=tags,
    )


def _payload(request: JobRequest) -> bytes:
    if not isinstance(request.input, UnsetType):
        if not isinstance(request.payload, UnsetType):
            raise InvalidInput("input and payload exclude each other", "/payload")
        return bytes(request.input)
    if isinstance(request.payload, UnsetType):
        return b"{}"
    raw = bytes(request.payload)
    if not raw.startswith(b'"'):
        return raw
    hint = "a payload that is a string must be base64 of JSON; for plain JSON use input"
    try:
        decoded = base64.b64decode(msgspec.json.decode(raw, type=str), validate=True)
        msgspec.json.decode(decoded)
        decoded.decode()
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        raise InvalidInput(hint, "/payload") from None
    return decoded


def _time(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return from_rfc3339(text)
    except ValueError as error:
        raise InvalidInput(f"{name}: {error}", f"/{name}") from None


def parse_upload(body: bytes, content_type: str, query: Mapping[str, str]) -> Order:
    """A job whose payload is the body itself: `POST /jobs?type=…` with anything but JSON."""
    if "type" not in query:
        raise UnsupportedMediaType(
            f"POST /jobs takes Content-Type: application/json, not {content_type or 'nothing'}. "
            "To send bytes as they are, name the type in the URL: POST /jobs?type=process_file"
        )
    ours = {name: value for name, value in query.items() if name in UploadOptions.__struct_fields__}
    try:
        options = msgspec.convert(ours, UploadOptions, strict=False)
    except msgspec.ValidationError as error:
        raise invalid_input(error) from None
    return _order(
        options,
        [tag for tag in options.tags.split(",") if tag],
        body,
        content_type or "application/octet-stream",
        params={name: value for name, value in query.items() if name not in ours},
    )


def parse_query(query_string: bytes, allowed: frozenset[str] | None = None) -> dict[str, str]:
    """Query parameters, each at most once; with `allowed`, no others (400 says so)."""
    if not query_string:
        return {}
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=100,
        )
    except ValueError as error:
        raise Malformed(f"The query string cannot be read: {error}.") from None
    query = dict(pairs)
    if len(query) < len(pairs):
        raise Malformed("A query parameter is given twice.")
    if allowed is not None and (unknown := sorted(query.keys() - allowed)):
        known = ", ".join(sorted(allowed)) or "none"
        raise Malformed(f"Unknown query parameter {unknown[0]!r}; known here: {known}.")
    return query


# ── out ───────────────────────────────────────────────────────────────────────────────────────


class ErrorView(msgspec.Struct):
    type: str
    message: str
    traceback: str


class JobView(msgspec.Struct, kw_only=True):
    """A job as the API shows it. Times are RFC 3339, UTC; `timeout` is in seconds."""

    id: str
    type: str
    status: str
    state: str
    reason: str | None
    queue: str
    priority: int
    attempt: int
    max_attempts: int
    timeout: float | None
    tags: list[str]
    created_at: str
    updated_at: str
    run_at: str
    started_at: str | None
    finished_at: str | None
    version: int
    error: ErrorView | None
    payload: bytes | UnsetType | None = UNSET  # msgspec writes bytes as base64
    input: Raw | UnsetType = UNSET
    params: dict[str, str] | UnsetType = UNSET
    result: bytes | UnsetType | None = UNSET
    output: Raw | UnsetType = UNSET


class JobsView(msgspec.Struct):
    jobs: list[JobView]


class PageView(msgspec.Struct):
    jobs: list[JobView]
    next: str | None


class MinimalView(msgspec.Struct):
    id: str
    status: str


def view(job: Job, *, bodies: bool = True) -> JobView:
    """`job` as the API shows it, with or without payload and result."""
    shown = JobView(
        id=job.id,
        type=job.type,
        status=job.state.status,
        state=job.state,
        reason=job.reason,
        queue=job.queue,
        priority=job.priority,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        timeout=job.timeout,
        tags=job.tags,
        created_at=to_rfc3339(job.created_at),
        updated_at=to_rfc3339(job.updated_at),
        run_at=to_rfc3339(job.run_at),
        started_at=None if job.started_at is None else to_rfc3339(job.started_at),
        finished_at=None if job.finished_at is None else to_rfc3339(job.finished_at),
        version=job.version,
        error=None
        if job.error is None
        else ErrorView(job.error.type, job.error.message, job.error.traceback),
    )
    if bodies:
        shown.payload = body_bytes(job.payload_text, job.payload_hex)
        if job.payload_text is not None:
            shown.input = Raw(job.payload_text)
        if job.params:
            shown.params = job.params
        shown.result = body_bytes(job.result_text, job.result_hex)
        if job.result_text is not None and is_json(job.result_content_type or ""):
            shown.output = Raw(job.result_text)
    return shown
