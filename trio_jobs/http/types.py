"""The job types that this process knows, with what they take and give as JSON Schema."""

import inspect
from typing import Any, get_type_hints

import msgspec

from ..registry import Handler, Isolation
from ..service import Scope
from .answer import Answer
from .call import Call, Route
from .words import Name

ANYTHING: dict[str, Any] = {}


class TypeView(msgspec.Struct):
    """`input` and `output` are JSON Schema; an empty one says nothing. `timeout` is in seconds.

    A null leaves the choice to the settings, or, for `isolation`, to the workers elsewhere that run
    these jobs. `accepts_upload`: a body that is not JSON will do.
    """

    type: Name
    summary: str
    input: dict[str, Any]
    output: dict[str, Any]
    timeout: float | None
    max_attempts: int | None
    isolation: Isolation | None
    accepts_upload: bool


class TypesView(msgspec.Struct):
    types: list[TypeView]


async def index(call: Call) -> Answer:
    """List the types of jobs, with the schemas of their input and output."""
    shown = [type_view(handler) for handler in call.service.handlers]
    for handler in await call.service.foreign():
        foreign = type_view(handler)
        foreign.isolation = None
        shown.append(foreign)
    return Answer(200, msgspec.json.encode(TypesView(shown)))


def type_view(handler: Handler) -> TypeView:
    """`handler` as the API shows it."""
    return TypeView(
        type=handler.type,
        summary=handler.summary,
        input=schema_of(handler.input),
        output=schema_of(_returned(handler.run)),
        timeout=handler.timeout,
        max_attempts=handler.max_attempts,
        isolation=handler.isolation,
        accepts_upload=handler.accepts_upload,
    )


def schema_of(type_: Any) -> dict[str, Any]:
    """The JSON Schema of a type; that of anything when there is none."""
    try:
        return msgspec.json.schema(type_)
    except TypeError:  # not a type of msgspec's, or a union that it could write but not read
        return ANYTHING


def _returned(run: Any) -> Any:
    """What a handler says that it returns."""
    try:
        return get_type_hints(inspect.unwrap(run)).get("return", Any)
    except (NameError, TypeError):  # names that are not there at run time; a callable object
        return Any


ROUTES = (Route(method="GET", path="/types", call=index, scope=Scope.READ, gives={200: TypesView}),)
