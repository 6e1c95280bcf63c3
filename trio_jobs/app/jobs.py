"""The app: job types declared in Python, and where their jobs go."""

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, cast

import trio

from .. import clock
from ..backoff import Backoff
from ..config import Settings
from ..errors import NotOpen
from ..registry import DERIVED, Handler, Isolation, Lifespan, Registry
from ..retention import Retention
from ..service import Checks, Order, Service
from ..storage.records import NewJob
from .decorator import Decorator
from .job_type import BareJobType, JobType
from .signature import as_handler, signature_of

Declared = JobType[Any, ..., Any, Any] | BareJobType[..., Any, Any]
Unique = str | Callable[[Any], str | None]


class Jobs:
    """Job types, as a program of its own (`trio-jobs serve module:app`), or inside another.

    `builtins` adds the built-in types (send_email, webhook …); they are refused as names then.
    """

    def __init__(self, *, builtins: bool = True) -> None:
        self._builtins = builtins
        self._declared: dict[str, Declared] = {}
        self._included: list[Jobs] = []
        self._parent: Jobs | None = None
        self._prefix = ""
        self._lifespan: Lifespan | None = None
        self._checks: Checks | None = None
        self._open: tuple[Service, Settings] | None = None

    # ── declaring ─────────────────────────────────────────────────────────────────────────────

    def job(
        self,
        name: str | None = None,
        *,
        queue: str = "default",
        priority: int = 0,
        timeout: float | None = None,
        max_attempts: int | None = None,
        backoff: str | list[float] | Mapping[str, Any] | None = None,
        keep: str | Mapping[str, str] | None = None,
        concurrency: int | None = None,
        unique: Unique | None = None,
        aliases: Iterable[str] = (),
        isolation: Isolation | None = None,
        max_memory: int | None = None,
    ) -> Decorator:
        """Makes a function a job type, called `name` or like the function.

        `timeout` is in seconds, per attempt. `backoff` is what a job may say (a kind, a list of
        seconds, an object). `keep` is for how long a finished job is kept (`"7d"`, or by state:
        `{"done": "1h"}`). `concurrency` is how many run at a time in one process. `unique` is the
        unique key or makes it of the payload: no second job with it while the first has not ended.
        `aliases` are names that jobs had before. `isolation="process"` runs a plain function in a
        process, where it is killed on timeout or cancel, and may allocate `max_memory` bytes; left
        out, `async def` runs in the loop and `def` in a thread. Raises ValueError for what cannot
        be, TypeError for a function that cannot be a handler.
        """
        if callable(name):
            raise TypeError("a job type is made by @app.job(), with parentheses")
        rules = _rules(keep)
        curve = Backoff() if backoff is None else Backoff.of(backoff)
        if concurrency is not None and concurrency < 1:
            raise ValueError("concurrency is 1 or more")
        key = None if unique is None else _unique(unique)
        old = tuple(aliases)

        def declare(function: Callable[..., Any]) -> Any:
            signature = signature_of(function)
            own = name or function.__name__
            if own in self._declared:
                raise ValueError(f"two jobs are called {own!r}")
            run = as_handler(function, signature)

            def make(type_: str) -> Handler:
                return Handler(
                    type_,
                    run,
                    input=signature.input,
                    summary=(function.__doc__ or "").strip().partition("\n")[0],
                    timeout=timeout,
                    max_attempts=max_attempts,
                    backoff=curve,
                    queue=queue,
                    priority=priority,
                    unique=key,
                    keep=rules,
                    concurrency=concurrency,
                    aliases=tuple(self.full_name(alias) for alias in old),
                    lifespan=None if isolation == "process" else self._lifespan,
                    isolation=isolation or DERIVED,
                    max_memory=max_memory,
                )

            make(own)  # raises for what cannot be
            kind: type[Declared] = JobType if signature.takes_payload else BareJobType
            declared = kind(self, own, function, run, signature, make)
            self._declared[own] = declared
            return declared

        return cast(Decorator, declare)

    def lifespan(self, function: Callable[[], AsyncGenerator[Any, None]]) -> Lifespan:
        """Declares what `ctx.resources` is: what this async generator yields.

        It runs once in each process that works, from before the first job until after the last.
        """
        if self._lifespan is not None:
            raise ValueError("an app has one lifespan; open several things in it")
        self._lifespan = asynccontextmanager(function)
        return self._lifespan

    def include(self, other: "Jobs", prefix: str = "") -> None:
        """Adds the types of another app, `prefix` before their names; its lifespan comes along."""
        if other._parent is not None or other is self:
            raise ValueError("an app can be included once")
        other._parent, other._prefix = self, prefix
        self._included.append(other)

    def full_name(self, name: str) -> str:
        """`name` as jobs have it, with the prefixes of all apps that this one is included in."""
        name = self._prefix + name
        return name if self._parent is None else self._parent.full_name(name)

    def handlers(self) -> Iterator[Handler]:
        """The declared types, those of included apps too."""
        for declared in self._declared.values():
            yield declared.handler()
        for other in self._included:
            yield from other.handlers()

    def registry(self, settings: Settings) -> Registry:
        """All types of a process. Raises ValueError when two have one name."""
        from ..builtin import handlers

        return Registry([*(handlers(settings) if self._builtins else ()), *self.handlers()])

    def new_job(self, order: Order) -> NewJob:
        """The job that `order` makes, not yet stored. Raises InvalidInput, UnknownType."""
        if self._parent is not None:
            return self._parent.new_job(order)
        if self._open is not None:
            return self._open[0].new_job(order)
        if self._checks is None:
            settings = Settings()
            self._checks = Checks(self.registry(settings), settings)
        return self._checks.new_job(order, clock.now())

    # ── running ───────────────────────────────────────────────────────────────────────────────

    @property
    def service(self) -> Service:
        """Where the jobs go now; raises NotOpen when nowhere."""
        return self._opened()[0]

    @property
    def settings(self) -> Settings:
        """With what it is open now; raises NotOpen when it is not."""
        return self._opened()[1]

    def _opened(self) -> tuple[Service, Settings]:
        if self._open is not None:
            return self._open
        if self._parent is not None:
            return self._parent._opened()
        raise NotOpen("The app is not open: enqueue within `async with app.open(url)` or serve().")

    @contextmanager
    def bound(self, service: Service, settings: Settings) -> Iterator[None]:
        """Jobs go to `service` meanwhile. One place at a time."""
        if self._open is not None:
            raise RuntimeError("the app is open already")
        self._open = service, settings
        try:
            yield
        finally:
            self._open = None

    @asynccontextmanager
    async def open(
        self, url: str, *, workers: bool = False, settings: Settings | None = None
    ) -> AsyncIterator[Service]:
        """Opens the database `url` (`sqlite:///jobs.db`) for enqueueing and waiting in process.

        With `workers`, jobs run here as well, and at the end have `shutdown_grace` to finish (or,
        when the block is cancelled, are handed back at once). Gives the Service: `get`,
        `list_jobs`, `cancel` … Raises StoreError when the database cannot be opened; another
        process may have it open only with `Settings(shared=True)` on both sides.
        """
        from .engine import running

        settings = replace(settings or Settings(), database=url)
        registry = self.registry(settings)
        settings = with_keep(settings, registry)
        async with running(settings, registry, workers=workers) as service:
            with self.bound(service, settings):
                yield service

    def asgi(self, *, tokens: bool = True) -> Callable[..., Awaitable[None]]:
        """The HTTP API as an ASGI app, to be mounted in yours, under any prefix (`root_path`).

        It answers while this app is open, else 503. The server must run on Trio. Whoever asks
        needs a token, since what your server is bound to is not known here. With `tokens=False`
        nobody does (unless `Settings.auth` is required): for when your app has looked at who asks
        before. Then the Host of requests must be localhost, or one of `Settings.allowed_hosts`.
        """
        from .mounted import Mounted  # and quart

        return Mounted(self, tokens=tokens)

    async def serve(
        self,
        bind: str = "127.0.0.1:8080",
        *,
        settings: Settings | None = None,
        task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """HTTP API and workers in the caller's nursery, until cancelled; no signal is handled.

        `await nursery.start(app.serve, "127.0.0.1:8080")` gives the URLs once jobs are taken.
        Cancelled, running jobs go back to their queue. Raises OSError when it cannot listen,
        ConfigError for an address that needs tokens when there are none, and as `open`.
        """
        from ..http import serve
        from ..runtime import demand_tokens

        settings = replace(settings or Settings(), bind=bind)
        async with self.open(settings.database, workers=True, settings=settings) as service:
            await demand_tokens(service, settings)
            await serve(
                service,
                settings,
                shutdown_trigger=trio.sleep_forever,
                task_status=task_status,
            )


def with_keep(settings: Settings, registry: Registry) -> Settings:
    """With what handlers say of keeping, which the operator's rules for a type go before."""
    return replace(settings, keep=(*registry.keep, *settings.keep))


def _unique(unique: Unique) -> Callable[[Any], str | None]:
    return unique if callable(unique) else lambda _: unique


def _rules(keep: str | Mapping[str, str] | None) -> tuple[str, ...]:
    if keep is None:
        return ()
    if isinstance(keep, str):
        keep = dict.fromkeys(("done", "failed", "cancelled"), keep)
    rules = tuple(f"{state}={time}" for state, time in keep.items())
    Retention(rules)
    return rules
