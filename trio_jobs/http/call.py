"""A call of the API: what it is (Route), and one request to it (Call).

Each noun has its ROUTES beside its functions. From them come the Quart app, the hot path, who may
ask, the OpenAPI document and the labels of the metrics: there is no second list.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..config import Settings
from ..service import ANYBODY, Grant, Scope, Service
from .answer import Answer
from .asgi import Receive
from .query import parse_query
from .streams import Streamed


class Call(msgspec.Struct, kw_only=True):
    """One request. `receive` is there on the hot path only: Quart looks after its own clients.

    Of repeated headers the first counts. `prefix` goes before the path of every link.
    """

    service: Service
    settings: Settings
    headers: dict[bytes, bytes]
    query_string: bytes = b""
    params: dict[str, str] = {}
    body: bytes = b""
    request_id: str = ""
    grant: Grant = ANYBODY
    scheme: str = "http"
    prefix: str = ""
    receive: Receive | None = None

    def header(self, name: bytes) -> str:
        """The value of a header, by its name in lower case; empty when it is not there."""
        value = self.headers.get(name)
        return value.decode("latin-1") if value else ""

    @property
    def content_type(self) -> str:
        return self.header(b"content-type")

    @property
    def id(self) -> str:
        """The `{id}` of the path."""
        return self.params["id"]

    @property
    def name(self) -> str:
        """The `{name}` of the path."""
        return self.params["name"]

    def query(self) -> dict[str, str]:
        """The query's parameters, each at most once."""
        return parse_query(self.query_string)


class Param:
    """A parameter of the query, or a header that a call heeds; `type` is what msgspec knows."""

    __slots__ = ("about", "name", "required", "type")

    def __init__(self, name: str, type: Any, about: str, *, required: bool = False) -> None:
        self.name = name
        self.type = type
        self.about = about
        self.required = required


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path.

    `scope`: what a token must be good for; None lets everybody ask. `query` names the parameters
    that there are; any other is refused, unless the call is `open` to more, as that Param says.
    `takes` has the type of a body by its media type, `gives` that of the answer by status (None: no
    body; a str: not JSON, but this media type; a dict: by media type), `tells` names headers of its
    answers. `refuses` are the kinds of errors that this call may end with, beside those of every
    call. The first line of the function's docstring is the title, the rest explains.
    """

    method: str
    path: str
    call: Callable[[Call], Awaitable[Answer | Streamed]]
    scope: Scope | None
    gives: Mapping[int, Any]
    query: tuple[Param, ...] = ()
    headers: tuple[Param, ...] = ()
    takes: Mapping[str, Any] = field(default_factory=dict)
    tells: tuple[str, ...] = ()
    refuses: tuple[type[Exception], ...] = ()
    open: Param | None = None
    known: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", frozenset(param.name for param in self.query))

    async def answer(self, call: Call) -> Answer | Streamed:
        """Raises what `problems` can tell."""
        if self.scope is not None:
            call.grant.demand(self.scope)
        if call.query_string and not self.open:
            parse_query(call.query_string, self.known)
        return await self.call(call)
