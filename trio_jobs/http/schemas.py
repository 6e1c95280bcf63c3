"""The types of the wire as JSON Schema: what msgspec knows of them, and what they add themselves.

A type may have a SCHEMA (keywords beside those that its fields give) and an EXAMPLE.
"""

import inspect
from collections.abc import Iterable
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec

Schema = dict[str, Any]
REF = "#/components/schemas/{name}"


class Schemas:
    """Collects the named types that are asked for, as `components`."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}

    def of(self, type_: Any) -> Schema:
        """The schema of a type, or of one of a union (msgspec itself wants such unions tagged).

        None does not count: a body or a parameter is there or not.
        """
        if isinstance(type_, str):
            return {"type": "string"}
        if type_ is bytes:
            return {"type": "string", "format": "binary"}
        found = [self._one(one) for one in alternatives(type_)]
        return found[0] if len(found) == 1 else {"anyOf": found}

    def _one(self, type_: Any) -> Schema:
        [schema], found = msgspec.json.schema_components([type_], ref_template=REF)
        for component in found.values():
            if "description" in component:  # a docstring, which before Python 3.13 has its indent
                component["description"] = inspect.cleandoc(component["description"])
        self.components.update(found)
        for struct in structs(type_):
            self.components[struct.__name__].update(getattr(struct, "SCHEMA", {}))
        return schema


def alternatives(type_: Any) -> tuple[Any, ...]:
    """The members of a union, or the type alone; None is no alternative."""
    if get_origin(type_) in (Union, UnionType):
        return tuple(one for one in get_args(type_) if one is not type(None))
    return (type_,)


def structs(type_: Any) -> Iterable[Any]:
    """The struct that a type is, or has the elements of."""
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        yield type_
    for inner in get_args(type_):
        yield from structs(inner)


def example(type_: Any) -> Any:
    """An example of a type: that of the first struct in it which has one."""
    return next((struct.EXAMPLE for struct in structs(type_) if hasattr(struct, "EXAMPLE")), None)
