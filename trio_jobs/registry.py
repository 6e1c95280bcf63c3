"""Type -> handler: a plain table, and what a handler gets and promises.

Nothing registers itself by being imported: `builtin.handlers(settings)` is a list, and a Registry
is made from lists.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, Protocol

import msgspec

from .backoff import Backoff
from .errors import InvalidInput, UnknownType
from .importable import name_of, pickled_type

Isolation = Literal["async", "thread", "process"]
DERIVED: Any = None


class Ctx(Protocol):
    """What a running handler may know and do; given as its second argument.

    `job_id` stays the same over all attempts: an idempotency key for what the handler does.
    `attempt` counts from 1, up to `max_attempts`. `deadline` is in Unix seconds: when this attempt
    times out, or the job's own deadline passes. `upload` holds the raw body when the job was posted
    as one (`POST /jobs?type=…`), else None; `content_type` is that of the payload. `traceparent` is
    the trace context (W3C) that the job was made in, if any; pass it on. `cancel_reason` says why
    the attempt is being stopped, if it is.

    Whatever the handler logs (`logging`, any logger) is kept with the job.
    """

    @property
    def job_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def max_attempts(self) -> int: ...
    @property
    def deadline(self) -> float: ...
    @property
    def upload(self) -> bytes | None: ...
    @property
    def content_type(self) -> str: ...
    @property
    def traceparent(self) -> str | None: ...

    @property
    def cancel_reason(self) -> str | None: ...
    @property
    def resources(self) -> Any:
        """What the handler's lifespan has yielded in this process; None without one."""

    @property
    def saved(self) -> Any:
        """What this attempt or an earlier one has saved last, as JSON gives it back; else None."""

    @property
    def seconds_left(self) -> float:
        """Until `deadline`; 0 when it has passed."""

    def save(self, value: object) -> None:
        """Keeps `value` (anything that JSON can hold, 256 kB) for the next attempt, should there be
        one: `saved`. The newest counts. It is written within half a second, or together with the
        end of the attempt; TypeError or ValueError for what cannot be kept. Forgotten once the job
        is done.
        """

    def log(self, message: str, level: str = "INFO") -> None:
        """Adds a line to the job's own log, without any logger."""

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """Tells how far it is, in units of its own. Cheap: only the newest is written, twice a
        second at most. ValueError for what is no number."""

    def checkpoint(self) -> None:
        """For plain (thread) handlers: stops here when the job was cancelled or timed out.

        It raises `trio.Cancelled`; let it pass (`except Exception` does). Call it about ten times a
        second. In async handlers every `await` already is one, and a process is killed: there this
        does nothing.
        """


Lifespan = Callable[[], AbstractAsyncContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Handler:
    """One job type.

    `run(input, ctx)` does the work: `async def` runs in the event loop, plain `def` in a thread.
    It returns something msgspec can turn into JSON, or bytes (kept as they are), or None. It
    raises `errors.Fail` to end the job for good, `errors.Cancel` to have it cancelled,
    `errors.Retry` to come back at a time of its own, `errors.Snooze` to come back without being
    charged, and any other exception to be retried by `backoff`.

    `input` is what the payload is decoded into and validated against (422 at enqueue): any type
    that msgspec knows; `check(input)` may refuse more, by raising InvalidInput. With
    `accepts_upload`, raw bodies are taken as well: `input` then comes from the query parameters
    and the body is `ctx.upload`; `check_upload` replaces `check` there.

    With `isolation="process"`, a plain `def` runs in a process that is killed when the job is to
    stop, and what it breaks there is its own. Function and `input` are found by name: ValueError,
    with what to do, when they cannot be (`importable`). `max_memory` is how many bytes a job may
    allocate there; past that it gets a MemoryError. Left out, `isolation` is as `run` says.

    `timeout` is in seconds, per attempt. None leaves timeout and max_attempts to the settings.

    `queue` and `priority` are those of jobs that ask for none. `unique(input)` gives the unique key
    of a job that brings none; None: it needs none. `keep` has rules such as `done=7d`, as the
    setting of that name without the type. `concurrency` is how many jobs of this type run at a time
    in one process; None: any number. Jobs of the `aliases` are run as well. `lifespan()` opens what
    `ctx.resources` gives, once in each process that runs jobs.
    """

    type: str
    run: Callable[[Any, Any], Any]
    input: Any = dict[str, Any]
    summary: str = ""
    timeout: float | None = None
    max_attempts: int | None = None
    backoff: Backoff = field(default_factory=Backoff)
    accepts_upload: bool = False
    check: Callable[[Any], None] | None = None
    check_upload: Callable[[Any], None] | None = None
    isolation: Isolation = DERIVED
    max_memory: int | None = None
    queue: str = "default"
    priority: int = 0
    unique: Callable[[Any], str | None] | None = None
    keep: tuple[str, ...] = ()
    concurrency: int | None = None
    aliases: tuple[str, ...] = ()
    lifespan: Lifespan | None = None
    is_async: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_async", inspect.iscoroutinefunction(self.run))
        plainly: Isolation = "async" if self.is_async else "thread"
        if self.isolation == "process":
            self._must_be_importable()
        elif self.isolation not in (DERIVED, plainly):
            raise ValueError(f"{self.type}: this handler runs as {plainly}, not {self.isolation}")
        elif self.max_memory is not None:
            raise ValueError(f'{self.type}: max_memory needs isolation="process"')
        else:
            object.__setattr__(self, "isolation", plainly)

    def _must_be_importable(self) -> None:
        if self.is_async:
            raise ValueError(f"{self.type}: an async handler runs in the loop: make it a plain def")
        if self.max_memory is not None and self.max_memory <= 0:
            raise ValueError(f"{self.type}: max_memory is a number of bytes, not {self.max_memory}")
        try:
            name_of(self.run)
            pickled_type(self.input)
        except ValueError as error:
            raise ValueError(f"{self.type}: a process cannot find its handler: {error}") from None

    def decode(self, payload: bytes) -> Any:
        """The payload as `input`; InvalidInput says which member is wrong."""
        return self._checked(self._convert(lambda: msgspec.json.decode(payload, type=self.input)))

    def decode_params(self, params: dict[str, str]) -> Any:
        """Query parameters of an upload as `input`."""
        converted = self._convert(lambda: msgspec.convert(params, self.input, strict=False))
        if self.check_upload is not None:
            self.check_upload(converted)
        return converted

    def _checked(self, value: Any) -> Any:
        if self.check is not None:
            self.check(value)
        return value

    @staticmethod
    def _convert(make: Callable[[], Any]) -> Any:
        try:
            return make()
        except msgspec.ValidationError as error:
            raise invalid_input(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"the payload is not valid JSON: {error}") from None
        except RecursionError:
            raise InvalidInput("the payload is nested too deeply") from None


def invalid_input(error: msgspec.ValidationError) -> InvalidInput:
    """msgspec says "Expected `int`, got `str` - at `$.a[0].b`"; a pointer says `/a/0/b`."""
    detail, _, path = str(error).partition(" - at `$")
    path, _, _ = path.rstrip("`").partition("[...]")  # some key of an object, it does not say which
    pointer = path.replace("[", ".").replace("]", "").replace(".", "/")
    return InvalidInput(detail, pointer)


class Registry:
    """The types this process knows."""

    def __init__(self, handlers: Iterable[Handler]) -> None:
        self._handlers: dict[str, Handler] = {}
        for handler in handlers:
            for name in (handler.type, *handler.aliases):
                if name in self._handlers:
                    raise ValueError(f"two handlers for the type {name!r}")
                self._handlers[name] = handler

    def __getitem__(self, type_: str) -> Handler:
        try:
            return self._handlers[type_]
        except KeyError:
            raise self.unknown(type_) from None

    def __contains__(self, type_: str) -> bool:
        return type_ in self._handlers

    def unknown(self, type_: str, others: Iterable[str] = ()) -> UnknownType:
        """What to say of a type that is neither here nor among `others`."""
        known = sorted({*self._handlers, *others})
        close = get_close_matches(type_, known, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return UnknownType(
            f"No handler has the type {type_!r}.{hint} Known types: {', '.join(known)}.", "/type"
        )

    def __iter__(self) -> Iterator[Handler]:
        """Each handler once, whatever its aliases."""
        return (handler for name, handler in self._handlers.items() if name == handler.type)

    @property
    def types(self) -> list[str]:
        """All names that jobs may have, aliases included."""
        return sorted(self._handlers)

    @property
    def keep(self) -> tuple[str, ...]:
        """What the handlers say of how long their jobs are kept, as rules of the setting `keep`."""
        return tuple(
            f"{name}.{rule}"
            for handler in self
            for name in (handler.type, *handler.aliases)
            for rule in handler.keep
        )
