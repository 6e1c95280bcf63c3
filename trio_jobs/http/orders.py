"""JSON in: from the bodies that ask for jobs to orders, and nothing of how they travel."""

import base64
import binascii
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import UnsetType

from ..clock import Now, from_rfc3339
from ..errors import InvalidInput, TooLarge
from ..registry import invalid_input
from ..service import Order
from . import strict
from .problems import Malformed, UnsupportedMediaType
from .requests import JobRequest, LineRequest, Options, UploadOptions

T = TypeVar("T")


class Wish(NamedTuple):
    """What a body asks for: orders, whether they came as an array, and for how long to wait."""

    orders: list[Order]
    many: bool = False
    wait: float | None = None

    def within(self, traceparent: str) -> "Wish":
        """The same in a trace."""
        orders = [msgspec.structs.replace(o, traceparent=traceparent) for o in self.orders]
        return self._replace(orders=orders)


_one = msgspec.json.Decoder(JobRequest)
_many = msgspec.json.Decoder(list[JobRequest])
_line = msgspec.json.Decoder(LineRequest)


def decode(decoder: "msgspec.json.Decoder[T]", data: bytes, what: str = "body") -> T:
    """Raises Malformed (not JSON), InvalidInput (JSON, but not this)."""
    try:
        data.decode()  # msgspec does not look into what it passes through as Raw
        decoded = decoder.decode(data)
    except msgspec.ValidationError as error:
        raise invalid_input(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"The {what} is not JSON: {error}.") from None
    strict.check(data, what)
    return decoded


def parse_json(body: bytes, max_jobs: int, now: Now) -> Wish:
    """The jobs of a JSON body."""
    if body.lstrip()[:1] != b"[":
        request = decode(_one, body)
        return Wish([_from_json(request, now)], wait=_seconds("wait", request.wait))
    requests = decode(_many, body)
    if not requests:
        raise InvalidInput("an empty array has no jobs")
    if len(requests) > max_jobs:
        raise TooLarge(
            f"{len(requests):,} jobs in one array; the limit (max_batch) is {max_jobs:,}"
        )
    orders = []
    for index, request in enumerate(requests):
        try:
            orders.append(_from_json(request, now))
            _check_no_wait(request)
        except InvalidInput as error:
            error.pointer = f"/{index}{error.pointer}"
            raise
    return Wish(orders, many=True)


def parse_line(line: bytes, now: Now) -> tuple[Order, str | None]:
    """The job of a line of NDJSON, and its idempotency key."""
    request = decode(_line, line, "line")
    _check_no_wait(request)
    return _from_json(request, now), request.idempotency_key


def parse_upload(body: bytes, content_type: str, query: Mapping[str, str], now: Now) -> Wish:
    """A job whose payload is the body itself: `POST /jobs?type=…` with anything but JSON."""
    if "type" not in query:
        raise UnsupportedMediaType(
            f"POST /jobs takes Content-Type: application/json, not {content_type or 'nothing'}. "
            "To send bytes as they are, name the type in the URL: POST /jobs?type=process_file"
        )
    ours: dict[str, Any] = {
        name: value for name, value in query.items() if name in UploadOptions.__struct_fields__
    }
    params = {name: value for name, value in query.items() if name not in ours}
    _unfold(ours)
    try:
        options = msgspec.convert(ours, UploadOptions, strict=False)
    except msgspec.ValidationError as error:
        raise invalid_input(error) from None
    order = _order(
        options,
        [tag for tag in options.tags.split(",") if tag],
        body,
        content_type or "application/octet-stream",
        now,
        params,
    )
    return Wish([order], wait=_seconds("wait", options.wait))


def _unfold(query: dict[str, Any]) -> None:
    """What may be more than a word: a deadline as a number, a backoff as a list or an object."""
    with suppress(KeyError, ValueError):
        query["deadline"] = float(query["deadline"])
    if query.get("backoff", "")[:1] in ("[", "{"):
        try:
            query["backoff"] = msgspec.json.decode(query["backoff"])
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            raise InvalidInput("backoff is not JSON", "/backoff") from None


def _from_json(request: JobRequest, now: Now) -> Order:
    return _order(request, request.tags, _payload(request), "application/json", now)


def _order(
    options: Options,
    tags: list[str],
    payload: bytes,
    content_type: str,
    now: Now,
    params: dict[str, str] | None = None,
) -> Order:
    deadline = options.deadline
    return Order(
        type=options.type,
        payload=payload,
        content_type=content_type,
        params=params,
        queue=options.queue,
        priority=options.priority,
        delay=options.delay,
        run_at=None if options.run_at is None else moment("run_at", options.run_at),
        timeout=options.timeout,
        max_attempts=options.max_attempts,
        tags=tags,
        deadline=None if deadline is None else _deadline(deadline, now),
        backoff=options.backoff,
        unique_key=options.unique_key,
        unique_for=options.unique_for,
        on_conflict=options.on_conflict,
        callback_url=options.callback_url,
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
    strict.check(decoded, "payload")
    return decoded


def _deadline(given: str | float, now: Now) -> float:
    return moment("deadline", given) if isinstance(given, str) else now() + given


def moment(name: str, text: str) -> float:
    """A time on the wire as Unix seconds."""
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{name}: {error}", f"/{name}") from None


def _seconds(name: str, value: float | None) -> float | None:
    if value is not None and not value >= 0:
        raise InvalidInput(f"{name} is a number of seconds, from 0 up", f"/{name}")
    return value


def _check_no_wait(request: JobRequest) -> None:
    if request.wait is not None:
        raise InvalidInput("wait is for a request with one job", "/wait")
