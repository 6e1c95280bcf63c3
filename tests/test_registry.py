"""Handlers: what reaches them is what they asked for, and what does not says why."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_jobs.errors import InvalidInput, UnknownType
from trio_jobs.registry import Handler, Registry


class Point(msgspec.Struct):
    """Some input."""

    x: int
    name: str = ""
    path: list[dict[str, int]] = []


async def run(_input: object, _ctx: object) -> None:
    """A handler."""


def plain(_input: object, _ctx: object) -> None:
    """Another."""


POINT = Handler("point", run, input=Point)


def test_two_handlers_for_a_type_are_a_mistake_at_start_and_not_a_race() -> None:
    with pytest.raises(ValueError, match="point"):
        Registry([POINT, POINT])


def test_an_unknown_type_is_answered_with_the_nearest_and_all_known() -> None:
    registry = Registry([POINT, Handler("other", run)])
    with pytest.raises(UnknownType, match=r"Did you mean 'point'\? Known types: other, point\."):
        registry["piont"]
    assert registry.types == ["other", "point"]
    assert [handler.type for handler in registry] == ["point", "other"]


@pytest.mark.parametrize("type_", ["", "\x00", "\ud800", "x" * 100_000])
def test_a_hostile_type_is_only_unknown(type_: str) -> None:
    with pytest.raises(UnknownType):
        Registry([POINT])[type_]


def test_async_and_plain_handlers_are_told_apart() -> None:
    assert POINT.is_async
    assert not Handler("plain", plain).is_async


def test_isolation_is_derived_and_a_wrong_one_refused() -> None:
    assert (POINT.isolation, Handler("plain", plain).isolation) == ("async", "thread")
    process = Handler("plain", plain, isolation="process", max_memory=1)
    assert (process.isolation, process.is_async) == ("process", False)
    with pytest.raises(ValueError, match="runs as async, not thread"):
        Handler("point", run, isolation="thread")
    with pytest.raises(ValueError, match="max_memory needs"):
        Handler("plain", plain, max_memory=1)
    with pytest.raises(ValueError, match="a number of bytes, not 0"):
        Handler("plain", plain, isolation="process", max_memory=0)
    with pytest.raises(ValueError, match="make it a plain def"):
        Handler("point", run, isolation="process")


def test_a_payload_becomes_the_input() -> None:
    assert POINT.decode(b'{"x": 1, "path": [{"a": 2}]}') == Point(1, path=[{"a": 2}])


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        (b"[]", ""),
        (b"{}", ""),
        (b'{"x": "1"}', "/x"),
        (b'{"x": 1, "path": [{}, 3]}', "/path/1"),
        (b'{"x": 1, "path": [{}, {"a": "b"}]}', "/path/1"),
    ],
)
def test_the_pointer_leads_to_the_member_at_fault(payload: bytes, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        POINT.decode(payload)
    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"nul",
        b'{"x": 1} {"x": 2}',
        b'{"x": 1, "name": "\xff"}',
        b'{"x": 1, "name": "\\ud800"}',
        b'{"x": NaN}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"x":' * 100_000,
        b'{"x": 1, "y": ' + b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("input_", [Point, Any, dict[str, Any]])
def test_what_is_not_json_is_invalid_input_and_nothing_worse(payload: bytes, input_: Any) -> None:
    with pytest.raises(InvalidInput):
        Handler("type", run, input=input_).decode(payload)


@given(st.binary(max_size=200))
def test_no_bytes_whatever_get_past_as_another_error(payload: bytes) -> None:
    with suppress(InvalidInput):
        Handler("type", run, input=Any).decode(payload)


def test_a_check_of_its_own_may_refuse_more_than_the_types_do() -> None:
    def positive(point: Point) -> None:
        if point.x <= 0:
            raise InvalidInput("x must be positive", "/x")

    handler = Handler("point", run, input=Point, check=positive)
    assert handler.decode(b'{"x": 1}').x == 1
    with pytest.raises(InvalidInput, match="positive"):
        handler.decode(b'{"x": 0}')


def test_query_parameters_are_text_and_become_what_the_input_wants() -> None:
    def short(point: Point) -> None:
        if len(point.name) > 3:
            raise InvalidInput("too long", "/name")

    def never(_point: Point) -> None:
        raise AssertionError("this is for JSON bodies")

    handler = Handler(
        "point", run, input=Point, accepts_upload=True, check=never, check_upload=short
    )
    assert handler.decode_params({"x": "5", "name": "abc"}) == Point(5, "abc")
    with pytest.raises(InvalidInput) as caught:
        handler.decode_params({"x": "five"})
    assert caught.value.pointer == "/x"
    with pytest.raises(InvalidInput, match="too long"):
        handler.decode_params({"x": "5", "name": "abcd"})
