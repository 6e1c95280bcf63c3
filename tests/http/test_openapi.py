"""The OpenAPI document is valid, complete, and the one that lies in the repository."""

import re
from pathlib import Path
from typing import Any

import msgspec
import openapi_spec_validator
import pytest

import trio_jobs
from trio_jobs.http.routes import DOCUMENT, ROUTES

from .asgi import JSON, opened

ROOT = Path(trio_jobs.__file__).parent
OPERATIONS = [
    (path, method, operation)
    for path, methods in DOCUMENT.tree["paths"].items()
    for method, operation in methods.items()
]


def test_the_document_is_valid() -> None:
    openapi_spec_validator.validate(DOCUMENT.tree)


def test_the_exported_document_is_what_the_server_says() -> None:
    [file] = (
        place
        for place in (ROOT / "schema/openapi.json", ROOT.parent / "schema/openapi.json")
        if place.exists()
    )
    assert file.read_bytes() == DOCUMENT.json + b"\n", "run scripts/export_openapi.py"


def test_each_route_is_described_once_and_under_a_name_of_its_own() -> None:
    assert len(OPERATIONS) == len(ROUTES)
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    assert {"post_jobs", "get_job", "cancel_job", "cancel_jobs", "get_job_attempts"} <= {*ids}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one[1]} {one[0]}")
def test_a_call_says_what_it_is_for_and_how_it_may_end(
    operation: tuple[str, str, dict[str, Any]],
) -> None:
    path, _, said = operation
    assert said["summary"]
    assert {"400", "403", "429", "500", "503"} <= said["responses"].keys()
    assert ("401" in said["responses"]) == bool(said["security"])
    assert all(param["description"] for param in said.get("parameters", ()))
    named = {param["name"] for param in said.get("parameters", ()) if param["in"] == "path"}
    assert named == set(re.findall(r"\{(\w+)\}", path))


def test_a_reference_leads_somewhere() -> None:
    def look(value: Any) -> None:
        if isinstance(value, dict):
            if reference := value.get("$ref"):
                found = DOCUMENT.tree
                for step in reference.removeprefix("#/").split("/"):
                    found = found[step]
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    look(DOCUMENT.tree)


async def test_the_examples_are_accepted(tmp_path: Path, autojump_clock: object) -> None:
    async with opened(tmp_path) as api:
        for path, method, operation in OPERATIONS:
            if any(
                param.get("required") and param["in"] == "header"
                for param in operation.get("parameters", ())
            ):
                continue  # a lease: an example of one is none
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                if media_type == "application/octet-stream":
                    continue  # any bytes will do
                posted = await api.post({"type": "noop", "input": {}, "delay": 60})
                example = content["example"]
                body = (
                    example.encode() if isinstance(example, str) else msgspec.json.encode(example)
                )
                reply = await api.ask(
                    method.upper(),
                    path.replace("{id}", posted.json["id"]).replace("{name}", "default"),
                    body,
                    {"Content-Type": media_type},
                )
                assert reply.status in (200, 201), reply.body


async def test_anybody_may_read_the_document(tmp_path: Path, autojump_clock: object) -> None:
    async with opened(tmp_path) as api:
        assert await api.get("/openapi.json") == DOCUMENT.tree


async def test_a_word_of_ours_is_no_id(tmp_path: Path, autojump_clock: object) -> None:
    async with opened(tmp_path) as api:
        reply = await api.ask("GET", "/jobs/cancel")
        assert (reply.status, reply.headers["allow"]) == (405, "OPTIONS, POST")
        assert (await api.ask("GET", "/queues/cancel")).status == 200
        posted = await api.post({"type": "noop"})
        cancelled = await api.ask("POST", f"/jobs/{posted.json['id']}/cancel", headers=JSON)
        assert cancelled.status == 200
