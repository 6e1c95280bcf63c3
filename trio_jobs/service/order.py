"""What a job must be before it is stored."""

import hashlib
import re
from typing import Any, Protocol

import msgspec

from ..backoff import Backoff
from ..config import Settings
from ..errors import InvalidInput, TooLarge, UnknownType
from ..ids import JobIds
from ..job import State
from ..registry import Handler
from ..storage.records import UNTIL_FINISHED, Body, Key, NewJob, is_json
from ..storage.wishes import Amendment

NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
KEY = re.compile(r"[ -~]{1,255}\Z")
MAX_ATTEMPTS = 1_000
MAX_SECONDS = 10 * 365 * 86_400.0
MAX_PRIORITY = 100
KEY_LIFE = 86_400.0
CALLBACK = "webhook"  # the type of the jobs that tell of the end of others
ON_CONFLICT = ("return", "replace", "reject")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A job as a caller asks for it. None leaves a choice to the handler or the settings.

    `payload` is the body as it will be stored; `params` are the query parameters of a raw upload.
    `delay`, `timeout` and `unique_for` are in seconds, `run_at` and `deadline` in Unix seconds.
    `backoff` is what `Backoff.of` takes. `unique_key` lets only one job of its type be there: while
    that one is unfinished, or for `unique_for`; `on_conflict` says what becomes of a second one:
    `return` (the first stands for it), `replace` (the first takes its payload and time), `reject`.
    `traceparent` is the W3C trace context of the caller, for the handler to pass on. `callback_url`
    is told each time that the job ends (see `callbacks`).
    """

    type: str
    payload: bytes = b"{}"
    content_type: str = "application/json"
    params: dict[str, str] | None = None
    queue: str | None = None
    priority: int | None = None
    delay: float | None = None
    run_at: float | None = None
    timeout: float | None = None
    max_attempts: int | None = None
    tags: list[str] = []
    deadline: float | None = None
    backoff: Any = None
    unique_key: str | None = None
    unique_for: float | None = None
    on_conflict: str = "return"
    traceparent: str | None = None
    callback_url: str | None = None


class Handlers(Protocol):
    """A Registry, or what knows more types than one."""

    def __getitem__(self, type_: str) -> Handler: ...


class Checks:
    """Turns orders into jobs to store; InvalidInput points at what cannot be accepted."""

    def __init__(self, handlers: Handlers, settings: Settings) -> None:
        self._handlers = handlers
        self._settings = settings
        self._ids = JobIds()

    def new_job(self, order: Order, now: float) -> NewJob:
        check_name("a type", order.type, "/type")
        handler = self._handlers[order.type]
        self._check_options(order, handler, now)
        order = self._completed(order, handler, self._check_payload(order, handler))
        run_at = now
        if order.run_at is not None:
            run_at = order.run_at
        elif order.delay is not None:
            run_at = now + order.delay
        if order.deadline is not None:
            _check_deadline(order.deadline, run_at, now)
        text, raw_hex = Body.of(order.payload, order.content_type)
        return NewJob(
            id=self._ids.new(),
            type=order.type,
            queue=handler.queue if order.queue is None else order.queue,
            priority=handler.priority if order.priority is None else order.priority,
            state=State.SCHEDULED if run_at > now else State.QUEUED,
            max_attempts=order.max_attempts or handler.max_attempts or self._settings.max_attempts,
            timeout=order.timeout,
            tags=order.tags or None,
            created_at=now,
            run_at=run_at,
            payload_text=text,
            payload_hex=raw_hex,
            content_type=order.content_type,
            params=order.params,
            deadline=order.deadline,
            backoff=order.backoff,
            unique_key=order.unique_key,
            unique_until=_unique_until(order, now),
            on_conflict=order.on_conflict,
            traceparent=order.traceparent,
            callback_url=order.callback_url,
        )

    @staticmethod
    def _completed(order: Order, handler: Handler, input_: Any) -> Order:
        """With the unique key that its handler gives it, if it has none of its own."""
        if handler.unique is None or order.unique_key is not None:
            return order
        key = handler.unique(input_)
        if key is not None and not KEY.match(key):  # too long, or no ASCII: any key will do
            key = hashlib.sha256(key.encode()).hexdigest()
        return msgspec.structs.replace(order, unique_key=key)

    def amendment(self, changes: Amendment, now: float) -> None:
        """Raises InvalidInput for values that no job may have."""
        in_range("priority", changes.priority, -MAX_PRIORITY, MAX_PRIORITY)
        in_range("timeout", changes.timeout, 0.001, MAX_SECONDS)
        in_range("run_at", changes.run_at, 0, now + MAX_SECONDS)
        if changes.queue is not None:
            check_name("queue", changes.queue, "/queue")
        self._check_tags(changes.tags or [])

    def _check_options(self, order: Order, handler: Handler, now: float) -> None:
        in_range("priority", order.priority, -MAX_PRIORITY, MAX_PRIORITY)
        in_range("delay", order.delay, 0, MAX_SECONDS)
        in_range("timeout", order.timeout, 0.001, MAX_SECONDS)
        in_range("max_attempts", order.max_attempts, 1, MAX_ATTEMPTS)
        in_range("run_at", order.run_at, 0, now + MAX_SECONDS)
        if order.delay is not None and order.run_at is not None:
            raise InvalidInput("delay and run_at exclude each other", "/delay")
        if order.queue is not None:
            check_name("queue", order.queue, "/queue")
        self._check_tags(order.tags)
        if order.backoff is not None:
            try:
                Backoff.of(order.backoff)
            except ValueError as error:
                raise InvalidInput(f"backoff: {error}", "/backoff") from None
        if order.unique_key is not None or handler.unique is not None:
            _check_unique(order)
        elif order.unique_for is not None:
            raise InvalidInput("unique_for needs a unique_key", "/unique_for")
        elif order.on_conflict != "return":
            raise InvalidInput("on_conflict needs a unique_key", "/on_conflict")
        if order.callback_url is not None:
            self._check_callback(order.callback_url)

    def _check_tags(self, tags: list[str]) -> None:
        if len(tags) > self._settings.max_tags:
            raise InvalidInput(f"at most {self._settings.max_tags} tags", "/tags")
        for index, tag in enumerate(tags):
            check_name("a tag", tag, f"/tags/{index}")

    def _check_callback(self, url: str) -> None:
        """Whoever will send it knows what can be sent."""
        try:
            self._handlers[CALLBACK].decode(callback_payload(url, b"{}"))
        except UnknownType:
            said = f"nobody can be called back: this app has no job type {CALLBACK!r}"
            raise InvalidInput(said, "/callback_url") from None
        except InvalidInput as error:
            error.pointer = "/callback_url"
            raise
        except UnicodeEncodeError:
            raise InvalidInput("the URL holds half a surrogate pair", "/callback_url") from None

    def _check_payload(self, order: Order, handler: Handler) -> Any:
        """What the handler will get."""
        if is_json(order.content_type):
            size, limit, setting = len(order.payload), self._settings.max_payload, "max_payload"
        else:
            size, limit, setting = len(order.payload), self._settings.max_upload, "max_upload"
        if size > limit:
            raise TooLarge(
                f"the payload has {size:,} bytes; the limit ({setting}) is {limit:,}", "/input"
            )
        if is_json(order.content_type):
            try:
                return handler.decode(order.payload)
            except InvalidInput as error:
                error.pointer = f"/input{error.pointer}"
                raise
        if handler.accepts_upload:
            return handler.decode_params(order.params or {})
        raise InvalidInput(
            f"{handler.type} takes JSON; send Content-Type: application/json "
            '{"type": …, "input": …}'
        )


def callback_payload(url: str, message: bytes) -> bytes:
    """The input of the job that sends `message`, which is JSON, to `url`."""
    return msgspec.json.encode({"url": url, "json": msgspec.Raw(message)})


def idempotency(key: tuple[str, str] | None, now: float) -> Key | None:
    """(Idempotency-Key, fingerprint of the request) as the store keeps it."""
    if key is None:
        return None
    if not KEY.match(key[0]):
        raise InvalidInput("an Idempotency-Key is 1 to 255 printable ASCII characters")
    return Key(*key, now + KEY_LIFE)


def in_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise InvalidInput(f"{name} must be from {low:,} to {high:,}", f"/{name}")


def check_name(what: str, name: str, pointer: str) -> None:
    if not NAME.match(name):
        raise InvalidInput(f"{what} is 1 to 64 of A-Z a-z 0-9 _ . : -", pointer)


def _check_deadline(deadline: float, run_at: float, now: float) -> None:
    if not deadline <= now + 2 * MAX_SECONDS:  # so, and not >, because of NaN
        raise InvalidInput("the deadline is too far away", "/deadline")
    if deadline <= now:
        raise InvalidInput("the deadline has passed already", "/deadline")
    if deadline <= run_at:
        raise InvalidInput("the deadline must be later than run_at", "/deadline")


def _check_unique(order: Order) -> None:
    if order.unique_key is not None and not KEY.match(order.unique_key):
        raise InvalidInput("unique_key is 1 to 255 printable ASCII characters", "/unique_key")
    in_range("unique_for", order.unique_for, 0.001, MAX_SECONDS)
    if order.on_conflict not in ON_CONFLICT:
        raise InvalidInput(f"on_conflict is one of {', '.join(ON_CONFLICT)}", "/on_conflict")


def _unique_until(order: Order, now: float) -> float | None:
    if order.unique_key is None:
        return None
    return UNTIL_FINISHED if order.unique_for is None else now + order.unique_for
