"""What the client needs of the world: to send a request, to wait, to know the time.

The protocol of this package is written once, as coroutines that reach the world through a Wire and
nothing else. Over Trio they are awaited. For the blocking client they are driven by hand: nothing
that its Wire gives ever suspends, so one step takes them to their end.
"""

from collections.abc import Coroutine, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from ..errors import TrioJobsError

T = TypeVar("T")

CONNECT = 10.0
"""Seconds that a connection may take to come about, when the call has that much left."""


class Request(NamedTuple):
    """One HTTP request; `path` is below the URL of the service.

    `slow`: the service is asked to take its time. It gets a connection of its own.
    """

    method: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: bytes = b""
    slow: bool = False


class Answer(NamedTuple):
    """One HTTP answer. Names of headers are found in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Lost(TrioJobsError):
    """A request has no answer. `sent`: the service may have got it, and done what it asks."""

    def __init__(self, why: str, *, sent: bool, silent: bool = False) -> None:
        super().__init__(why)
        self.sent = sent
        self.silent = silent  # the time ran out; nothing broke


class Stream(Protocol):
    """An answer whose body comes bit by bit."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    async def chunk(self, patience: float) -> bytes:
        """The next bytes; none at the end. Raises Lost, also after `patience` seconds without."""

    async def close(self) -> None: ...


class Flag(Protocol):
    """Raised once, for one who waits."""

    def set(self) -> None: ...
    async def wait(self, patience: float) -> bool:
        """False: `patience` seconds have passed, and nobody raised it."""


class Wire(Protocol):
    """How requests travel."""

    def now(self) -> float:
        """Seconds of a clock that only goes forward."""

    async def send(self, request: Request, patience: float) -> Answer:
        """The whole answer. Raises Lost, also when it takes more than `patience` seconds."""

    async def open(self, request: Request, patience: float) -> Stream:
        """The head of the answer, and its body to be read. Raises Lost."""

    async def sleep(self, seconds: float) -> None: ...
    async def let_others_run(self) -> None: ...
    def flag(self) -> Flag: ...
    async def close(self) -> None: ...


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns or raises; it must not wait for anything but a blocking Wire."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("a blocking wire cannot suspend")
