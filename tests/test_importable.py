"""What no other process can find is refused before any job depends on it, with what to do."""

import pickle
import sys
import types
from functools import partial
from textwrap import dedent
from typing import Annotated, Any

import msgspec
import pytest

from trio_jobs.importable import find, name_of, pickled_type
from trio_jobs.registry import Handler


class Point(msgspec.Struct):
    """Some input."""

    x: int


class House:
    """A place for functions."""

    @staticmethod
    def run(_input: object, _ctx: object) -> None:
        """A handler."""

    def method(self, _input: object, _ctx: object) -> None:
        """No handler."""


def plain(_input: object, _ctx: object) -> None:
    """A handler."""


def in_main() -> Any:
    run = types.FunctionType(plain.__code__, {"__name__": "__main__"}, "run")
    run.__qualname__ = "run"
    return run


def nested() -> Any:
    def run(_input: object, _ctx: object) -> None:
        """A handler that is made anew with each call."""

    return run


@pytest.mark.parametrize("function", [plain, House.run, dedent])
def test_a_function_is_found_again_by_its_name(function: Any) -> None:
    assert find(name_of(function)) is function


@pytest.mark.parametrize(
    ("function", "fix"),
    [
        (lambda _input, _ctx: None, "make it a def"),
        (nested(), "move it to the top level of tests.test_importable"),
        (in_main(), "move it into a module of its own"),
        (partial(plain, None), "make it a function"),
        (House().method, "make it a function"),
    ],
)
def test_a_handler_that_a_process_cannot_find_is_refused_with_the_fix(
    function: Any, fix: str
) -> None:
    with pytest.raises(ValueError, match=rf"^thumb: .*{fix}"):
        Handler("thumb", function, isolation="process")


@pytest.mark.parametrize(
    "type_",
    [Any, int, Point, Point | None, dict[str, Any], list[Annotated[int, "some"]]],
)
def test_a_type_is_found_again(type_: Any) -> None:
    assert pickle.loads(pickled_type(type_)) == type_


def test_an_input_that_a_process_cannot_find_is_refused_with_the_fix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Local(msgspec.Struct):
        """Some input."""

    with pytest.raises(ValueError, match="make it a class at the top level"):
        Handler("thumb", plain, input=Local, isolation="process")
    with pytest.raises(ValueError, match="make it a class at the top level"):
        Handler("thumb", plain, input=Annotated[int, msgspec.Meta(ge=1)], isolation="process")
    program = types.ModuleType("__main__")
    program.Point = type("Point", (), {"__module__": "__main__"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "__main__", program)
    with pytest.raises(ValueError, match="move it into a module of its own"):
        Handler("thumb", plain, input=program.Point, isolation="process")
