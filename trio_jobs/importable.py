"""Functions and types by name: how another process of this program gets them.

A function goes by "module:qualname". A type goes as a pickle, which holds names as well, and how
they are put together (`dict[str, Point] | None`).
"""

import importlib
import pickle
from collections.abc import Callable
from functools import reduce
from typing import Any


def name_of(function: Callable[..., Any]) -> str:
    """Its "module:qualname"; ValueError, which says what to do, if no other process can find it."""
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or hasattr(function, "__self__"):
        raise ValueError(f"{function!r} has no name to import it by: make it a function, with def")
    if module == "__main__":
        raise ValueError(
            f"{name} is in the program that is started (__main__), which other processes do not "
            "import: move it into a module of its own, and import it from there"
        )
    if "<lambda>" in name:
        raise ValueError(f"a lambda of {module} has no name to import it by: make it a def")
    if "<locals>" in name:
        raise ValueError(
            f"{module}:{name} is made anew inside of another function: move it to the top level "
            f"of {module}"
        )
    return f"{module}:{name}"


def find(name: str) -> Any:
    """What "module:qualname" names; ImportError or AttributeError when it is not there."""
    module, _, path = name.partition(":")
    return reduce(getattr, path.split("."), importlib.import_module(module))


def pickled_type(type_: Any) -> bytes:
    """A type for `pickle.loads`; ValueError, which says what to do, if it cannot be found there."""
    try:
        data = pickle.dumps(type_)
    except Exception as error:
        raise ValueError(
            f"the input type {type_!r} cannot be imported by name: make it a class at the top "
            f"level of a module ({error})"
        ) from None
    if b"__main__" in data:
        raise ValueError(
            f"the input type {type_!r} is in the program that is started (__main__): move it "
            "into a module of its own, and import it from there"
        )
    return data
