"""What a process can do, and who does it: GET /types and GET /workers."""

from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import trio

from trio_jobs.config import Settings
from trio_jobs.http.types import type_view
from trio_jobs.registry import Ctx, Handler

from ..process_handlers import pid
from .asgi import opened


class Word(msgspec.Struct):
    text: str


class Alien:
    """Nothing that msgspec knows."""


async def test_each_type_has_the_schemas_of_its_input_and_output(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with opened(tmp_path) as api:
        types = {one["type"]: one for one in (await api.get("/types"))["types"]}
    assert list(types) == ["noop", "process_file", "send_email", "sleep", "webhook"]
    assert types["noop"]["input"] == {}
    assert (types["sleep"]["isolation"], types["send_email"]["isolation"]) == ("async", "thread")
    assert [name for name, one in types.items() if one["accepts_upload"]] == ["process_file"]
    jsonschema.validate({"to": "a@b.c", "subject": "Hello"}, types["send_email"]["input"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"seconds": "long"}, types["sleep"]["input"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"message_id": 1}, types["send_email"]["output"])
    assert all(one["summary"] for one in types.values())


def test_a_handler_in_a_process_is_shown_as_such() -> None:
    assert type_view(Handler("pid", pid, isolation="process")).isolation == "process"


def test_a_type_that_no_schema_can_say_is_listed_all_the_same() -> None:
    async def echo(word: Word, _ctx: Ctx) -> Word:
        return word

    async def alien(_input: Any, _ctx: Ctx) -> Alien:
        return Alien()

    async def bad(_input: Any, _ctx: Ctx) -> "Nowhere":  # noqa: F821 - that is the point
        return None

    shown = type_view(Handler("echo", echo, input=Word, timeout=5.0, max_attempts=2))
    assert shown.input == shown.output
    assert shown.input["$defs"]["Word"]["required"] == ["text"]
    assert (shown.timeout, shown.max_attempts) == (5.0, 2)
    for run in (alien, bad):
        shown = type_view(Handler("odd", run, input=Alien))
        assert (shown.input, shown.output) == ({}, {})


async def test_the_worker_of_a_process_says_what_it_takes(
    tmp_path: Path, autojump_clock: object
) -> None:
    settings = Settings(queues=("media:4", "*:8"), data_dir=str(tmp_path))
    async with opened(tmp_path, settings=settings, worker=True) as api:
        await api.post({"type": "sleep", "input": {"seconds": 9}, "queue": "media"})
        await trio.sleep(1)
        [worker] = (await api.get("/workers"))["workers"]
    assert (worker["slots"], worker["running"]) == (12, 1)
    assert "noop" in worker["types"]
    assert worker["queues"] == [
        {"queue": "media", "slots": 4, "running": 1},
        {"queue": "*", "slots": 8, "running": 0},
    ]


async def test_a_process_that_runs_no_jobs_has_no_workers(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with opened(tmp_path) as api:
        assert await api.get("/workers") == {"workers": [], "remote": []}
