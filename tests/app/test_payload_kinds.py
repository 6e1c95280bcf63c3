"""Whatever describes data in Python can be a payload and a result."""

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import attrs
import httpx
import msgspec
import pytest

from trio_jobs import Jobs, Settings
from trio_jobs.errors import InvalidInput
from trio_jobs.testing import rehearsing


@dataclass
class Point:
    x: int
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    x: int


@attrs.define
class Box:
    width: int
    inside: Point | None = None


class Row(TypedDict):
    key: str
    value: NotRequired[int]


class Thumb(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    width: Annotated[int, msgspec.Meta(ge=1)] = 320


class Small(msgspec.Struct, tag=True):
    n: int


class Large(msgspec.Struct, tag=True):
    n: int


class Pair(NamedTuple):
    left: int
    right: str


class Colour(Enum):
    RED = "red"


ID = UUID("01a20c60-4e0f-7002-baaa-e48ca591f707")
KINDS: list[tuple[Any, Any, Any]] = [  # the type, a payload, and JSON that is none
    (Point, Point(1, ["a"]), {"x": "1"}),
    (Frozen, Frozen(x=1), {}),
    (Box, Box(2, Point(3)), {"width": 2, "inside": 3}),
    (Row, {"key": "a", "value": 1}, {"value": 1}),
    (Row, {"key": "a"}, {"key": 1}),
    (Thumb, Thumb("a.png"), {"path": "a.png", "width": 0}),
    (Thumb, Thumb("a.png", 1), {"path": "a.png", "with": 1}),
    (Small | Large, Large(1), {"type": "Middle", "n": 1}),
    (Pair, Pair(1, "b"), [1]),
    (dict[str, int], {"a": 1}, {"a": "b"}),
    (dict, {"a": [1, None]}, []),
    (dict[str, Any], {"a": {"b": [1.5, None, True]}}, "a"),
    (list[int], [1, 2], [1, "2"]),
    (list[Point], [Point(1), Point(2)], [{"y": 1}]),
    (set[str], {"a"}, [1]),
    (tuple[int, str], (1, "a"), [1, 2]),
    (int, 7, "7"),
    (float, 1.5, None),
    (str, "text", 7),
    (bool, True, 1),
    (str | None, None, 1),
    (bytes, b"\x00\xff", "no base64!"),
    (Literal["a", "b"], "b", "c"),
    (Colour, Colour.RED, "blue"),
    (date, date(2026, 11, 24), "24 November"),
    (datetime, datetime(2026, 11, 24, 7, tzinfo=UTC), "now"),
    (UUID, ID, "1"),
    (Decimal, Decimal("0.1"), "a"),
]
NAMES = [f"{number}-{getattr(kind, '__name__', kind)}" for number, (kind, _, _) in enumerate(KINDS)]


def echoing(kind: Any) -> tuple[Jobs, Any, list[Any]]:
    """An app, its one job, which returns its payload, and the payloads that came."""
    app = Jobs(builtins=False)
    came: list[Any] = []

    async def echo(payload: Any) -> Any:
        came.append(payload)
        return payload

    echo.__annotations__ = {"payload": kind, "return": kind}
    return app, app.job()(echo), came


@pytest.mark.parametrize(("kind", "value", "wrong"), KINDS, ids=NAMES)
async def test_a_payload_comes_and_goes_as_what_it_is(
    tmp_path: Path, autojump_clock: Any, kind: Any, value: Any, wrong: Any
) -> None:
    app, echo, came = echoing(kind)
    async with rehearsing(app, tmp_path) as jobs:
        job = await echo.enqueue(value)
        await jobs.drain()
        assert came == [value]
        assert type(came[0]) is type(value)
        result = await job.result(timeout=1)
        assert (result, type(result)) == (value, type(value))
        with pytest.raises(InvalidInput):
            await echo.enqueue(wrong)
        assert not await jobs.enqueued()


@pytest.mark.parametrize(("kind", "value", "wrong"), KINDS, ids=NAMES)
async def test_json_that_is_no_payload_is_a_422(
    tmp_path: Path, kind: Any, value: Any, wrong: Any
) -> None:
    app, _, came = echoing(kind)
    settings = Settings(data_dir=str(tmp_path / "data"))
    url = f"sqlite:///{tmp_path}/jobs.db"
    async with (
        app.open(url, workers=True, settings=settings),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app.asgi(tokens=False)), base_url="http://localhost"
        ) as http,
    ):
        refused = await http.post("/jobs", json={"type": "echo", "input": wrong})
        assert refused.status_code == 422, refused.text
        assert refused.json()["errors"][0]["pointer"].startswith("/input")
        right = json.loads(msgspec.json.encode(value))
        done = await http.post("/jobs", json={"type": "echo", "input": right, "wait": 10})
        assert (done.json()["status"], came) == ("done", [value]), done.text
        if kind is not bytes:  # its result is these bytes, and no JSON
            assert done.json().get("output") == right


async def test_a_result_that_is_not_what_was_promised_is_said(
    tmp_path: Path, autojump_clock: Any
) -> None:
    app = Jobs(builtins=False)

    @app.job()
    async def lies() -> int:
        return "seven"  # type: ignore[return-value]

    async with rehearsing(app, tmp_path) as jobs:
        job = await lies.enqueue()
        await jobs.drain()
        with pytest.raises(msgspec.ValidationError):
            await job.result(timeout=1)


def test_what_cannot_come_as_json_is_refused_when_it_is_declared() -> None:
    class Plain:
        pass

    for kind in (Plain, type, set[Plain]):
        with pytest.raises(TypeError, match="cannot be read from JSON"):
            echoing(kind)
