"""What a caller may ask of the queue. Nothing here knows of HTTP, and nothing runs a job."""

import re
from collections.abc import Sequence

import msgspec

from . import clock
from .config import Settings
from .errors import InvalidInput, NotFound, TooLarge, Unavailable
from .ids import JobIds
from .job import State, states_with_status
from .registry import Handler, Registry
from .storage.base import Store
from .storage.records import Body, Job, NewJob, Page, is_json

NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
MAX_ATTEMPTS = 1_000
MAX_SECONDS = 10 * 365 * 86_400.0
MAX_PRIORITY = 100
MAX_PAGE = 500


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A job as a caller asks for it. None leaves a choice to the handler or the settings.

    `payload` is the body as it will be stored; `params` are the query parameters of a raw upload.
    `delay` and `timeout` are in seconds, `run_at` in Unix seconds.
    """

    type: str
    payload: bytes = b"{}"
    content_type: str = "application/json"
    params: dict[str, str] | None = None
    queue: str = "default"
    priority: int = 0
    delay: float | None = None
    run_at: float | None = None
    timeout: float | None = None
    max_attempts: int | None = None
    tags: list[str] = []


class Service:
    """Enqueue and look. Set `draining` to refuse new jobs while the process stops."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        settings: Settings,
        *,
        now: clock.Now = clock.now,
    ) -> None:
        self._store = store
        self._registry = registry
        self._settings = settings
        self._now = now
        self._ids = JobIds()
        self.draining = False

    async def enqueue(self, orders: Sequence[Order]) -> list[Job]:
        """Stores all of `orders` or none; returns when they are on stable storage.

        Raises InvalidInput (pointing into the array when there is more than one), Unavailable.
        """
        if self.draining:
            raise Unavailable("The service is stopping; try again in a moment.", retry_after=5.0)
        now = self._now()
        new = []
        for index, order in enumerate(orders):
            try:
                new.append(self._checked(order, now))
            except InvalidInput as error:
                if len(orders) > 1:
                    error.pointer = f"/{index}{error.pointer}"
                raise
        await self._store.enqueue(new)
        return [Job.fresh(job) for job in new]

    async def get(self, id_: str) -> Job:
        """The job with its payload and result. Raises NotFound."""
        job = (await self._store.get([id_])).get(id_)
        if job is None:
            raise NotFound(f"There is no job {id_}.")
        return job

    async def list_jobs(
        self,
        *,
        status: str | None = None,
        type: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Page:
        """Newest first, without payloads and results; at most 500."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInput(f"limit must be from 1 to {MAX_PAGE}")
        states = list(State) if status is None else states_with_status(status)
        if not states:
            raise InvalidInput("status must be pending, running, done or failed")
        return await self._store.list_jobs(states=states, type=type, before=before, limit=limit)

    async def check(self) -> None:
        """Raises Unavailable unless jobs can be stored and claimed right now."""
        if self.draining:
            raise Unavailable("The service is stopping.", retry_after=5.0)
        await self._store.check_writable()

    # ── what a job must be ────────────────────────────────────────────────────────────────────

    def _checked(self, order: Order, now: float) -> NewJob:
        _check_name("a type", order.type, "/type")
        handler = self._registry[order.type]
        self._check_options(order)
        self._check_payload(order, handler)
        run_at = now
        if order.run_at is not None:
            run_at = order.run_at
        elif order.delay is not None:
            run_at = now + order.delay
        text, raw_hex = Body.of(order.payload, order.content_type)
        return NewJob(
            id=self._ids.new(),
            type=order.type,
            queue=order.queue,
            priority=order.priority,
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
        )

    def _check_options(self, order: Order) -> None:
        _in_range("priority", order.priority, -MAX_PRIORITY, MAX_PRIORITY)
        _in_range("delay", order.delay, 0, MAX_SECONDS)
        _in_range("timeout", order.timeout, 0.001, MAX_SECONDS)
        _in_range("max_attempts", order.max_attempts, 1, MAX_ATTEMPTS)
        _in_range("run_at", order.run_at, 0, self._now() + MAX_SECONDS)
        if order.delay is not None and order.run_at is not None:
            raise InvalidInput("delay and run_at exclude each other", "/delay")
        _check_name("queue", order.queue, "/queue")
        if len(order.tags) > self._settings.max_tags:
            raise InvalidInput(f"at most {self._settings.max_tags} tags", "/tags")
        for index, tag in enumerate(order.tags):
            _check_name("a tag", tag, f"/tags/{index}")

    def _check_payload(self, order: Order, handler: Handler) -> None:
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
                handler.decode(order.payload)
            except InvalidInput as error:
                error.pointer = f"/input{error.pointer}"
                raise
        elif handler.accepts_upload:
            handler.decode_params(order.params or {})
        else:
            raise InvalidInput(
                f"{handler.type} takes JSON; send Content-Type: application/json "
                '{"type": …, "input": …}'
            )


def _in_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise InvalidInput(f"{name} must be from {low:,} to {high:,}", f"/{name}")


def _check_name(what: str, name: str, pointer: str) -> None:
    if not NAME.match(name):
        raise InvalidInput(f"{what} is 1 to 64 of A-Z a-z 0-9 _ . : -", pointer)
