"""A job type made of a function: still the function, and a way to enqueue it."""

from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypedDict, TypeVar, Unpack

import msgspec

from ..registry import Handler
from ..service import Order, Service
from ..storage.alongside import Connection, enqueue_in
from ..storage.records import NewJob
from .handle import Handle
from .signature import Signature

P = TypeVar("P")
R = TypeVar("R")
Returned = TypeVar("Returned")
Rest = ParamSpec("Rest")


class Options(TypedDict, total=False):
    """What one job may ask for beside its type's own choice.

    `delay`, `timeout` and `unique_for` are in seconds, `run_at` and `deadline` in Unix seconds.
    `callback_url` is told each time that the job ends.
    """

    delay: float
    run_at: float
    queue: str
    priority: int
    timeout: float
    max_attempts: int
    tags: list[str]
    deadline: float
    backoff: Any
    unique_key: str
    unique_for: float
    on_conflict: str
    traceparent: str
    callback_url: str


class Place(Protocol):
    """Where its jobs go, and what it is called there."""

    @property
    def service(self) -> Service: ...

    def full_name(self, name: str) -> str: ...

    def new_job(self, order: Order) -> NewJob: ...


class _Declared(Generic[R]):
    """What both kinds of job types are made of."""

    def __init__(
        self,
        place: Place,
        name: str,
        function: Callable[..., Any],
        run: Callable[[Any, Any], Any],
        signature: Signature,
        make: Callable[[str], Handler],
    ) -> None:
        self._place = place
        self._name = name
        self._make = make
        self._function = function
        self.run = run  # by this name other processes find what `as_handler` made
        self.signature = signature
        self.__doc__ = function.__doc__
        self.__wrapped__ = function
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self.__module__ = function.__module__

    @property
    def type(self) -> str:
        """Its name as jobs have it, prefixes included."""
        return self._place.full_name(self._name)

    def handler(self) -> Handler:
        """The row of the registry."""
        return self._make(self.type)

    def _order(self, payload: object, options: Options) -> Order:
        return Order(type=self.type, payload=msgspec.json.encode(payload), **options)

    async def _enqueue(self, payload: object, options: Options) -> Handle[R]:
        service = self._place.service
        [placed] = await service.enqueue([self._order(payload, options)])
        return Handle(service, placed.job.id, self.signature.output)

    def _enqueue_in(self, connection: Connection, payload: object, options: Options) -> str:
        return enqueue_in(connection, self._place.new_job(self._order(payload, options)))


class JobType(_Declared[R], Generic[P, Rest, Returned, R]):
    """A function with a payload `P` and a result `R`. Calling it calls the function."""

    def __call__(self, payload: P, /, *args: Rest.args, **kwargs: Rest.kwargs) -> Returned:
        function: Callable[Concatenate[P, Rest], Returned] = self._function
        return function(payload, *args, **kwargs)

    async def enqueue(self, payload: P, **options: Unpack[Options]) -> Handle[R]:
        """Stores a job; returns when it is on stable storage.

        Raises InvalidInput (for a payload that the function's annotation refuses, too), Conflict,
        QueueFull, Unavailable; NotOpen outside of `Jobs.open` and `serve`. Cancelled, the job may
        be stored all the same.
        """
        return await self._enqueue(payload, options)

    def enqueue_in(self, connection: Connection, payload: P, **options: Unpack[Options]) -> str:
        """Stores a job within a transaction of your own, on the same database; its id.

        The job is there when you commit, and never was when you roll back. `connection` is one of
        psycopg, of apsw, or of sqlite3 with SQLite 3.51.3 or later; the app need not be open. It
        blocks. Raises ValueError outside of a transaction, StoreError for an older SQLite,
        InvalidInput, Conflict.
        """
        return self._enqueue_in(connection, payload, options)


class BareJobType(_Declared[R], Generic[Rest, Returned, R]):
    """A function without a payload. Calling it calls the function."""

    def __call__(self, *args: Rest.args, **kwargs: Rest.kwargs) -> Returned:
        function: Callable[Rest, Returned] = self._function
        return function(*args, **kwargs)

    async def enqueue(self, **options: Unpack[Options]) -> Handle[R]:
        """As `JobType.enqueue`."""
        return await self._enqueue({}, options)

    def enqueue_in(self, connection: Connection, **options: Unpack[Options]) -> str:
        """As `JobType.enqueue_in`."""
        return self._enqueue_in(connection, {}, options)
