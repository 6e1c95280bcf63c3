"""What a handler's function takes and gives, read from its annotations."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, get_type_hints

import msgspec

from ..registry import Ctx


class NoPayload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The payload of a function that takes none: `{}`."""


class Signature(NamedTuple):
    """`input` is the payload's type, `output` the result's (`Any` where nothing is said)."""

    input: Any
    output: Any
    takes_payload: bool
    takes_ctx: bool


def signature_of(function: Callable[..., Any]) -> Signature:
    """TypeError, with the fix, for a function that cannot be a handler."""
    name = getattr(function, "__qualname__", repr(function))
    if not inspect.isfunction(function):
        raise TypeError(f"{name}: a handler is a function (def or async def)")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{name}: a handler returns its result, it cannot yield")
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(f"{name}: {error}; annotate with names of its module") from None
    parameters = list(inspect.signature(function).parameters.values())
    if any(one.kind not in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters):
        raise TypeError(f"{name}: a handler takes its payload and a Ctx, as plain parameters")
    takes_ctx = bool(parameters) and hints.get(parameters[-1].name) is Ctx
    payload = parameters[:-1] if takes_ctx else parameters
    if len(payload) > 1:
        raise TypeError(f"{name}: a handler takes one payload, and then perhaps a ctx: Ctx")
    input_ = hints.get(payload[0].name) if payload else NoPayload
    if input_ is None or input_ is Ctx:
        raise TypeError(f"{name}: annotate {payload[0].name} with the type of the payload")
    try:
        msgspec.json.schema(input_)
    except TypeError as error:
        raise TypeError(f"{name}: {payload[0].name} cannot be read from JSON: {error}") from None
    return Signature(input_, hints.get("return", Any), bool(payload), takes_ctx)


def as_handler(function: Callable[..., Any], signature: Signature) -> Callable[[Any, Any], Any]:
    """`function` as (payload, ctx); itself when it is that already."""
    if signature.takes_payload and signature.takes_ctx:
        return function

    def arguments(payload: Any, ctx: Any) -> tuple[Any, ...]:
        return (payload,) * signature.takes_payload + (ctx,) * signature.takes_ctx

    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def run_async(payload: Any, ctx: Any) -> Any:
            return await function(*arguments(payload, ctx))

        return run_async

    @wraps(function)
    def run(payload: Any, ctx: Any) -> Any:
        return function(*arguments(payload, ctx))

    run.__qualname__ += ".run"  # under `function`'s name others find its job type
    return run
