"""Web pages in this machine's browsers, and names that point here: neither may use the service."""

import pytest
import trio

from trio_jobs.config import Settings
from trio_jobs.http.answer import RequestIds
from trio_jobs.http.boundary import Boundary

from .asgi import Api, Reply


async def _ask(method: str, headers: dict[str, str], **settings: object) -> Reply:
    async def app(scope: object, receive: object, send: object) -> None:
        await trio.lowlevel.checkpoint()
        await send({"type": "http.response.start", "status": 204, "headers": []})

    settings = Settings(**settings)
    boundary = Boundary(app, settings, RequestIds())
    return await Api(boundary, None).ask(method, "/jobs", headers=headers)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "[::1]"]
)
async def test_the_names_of_this_machine_pass(host: str) -> None:
    assert (await _ask("POST", {"host": host})).status == 204


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "[::2]", ""]
)
async def test_a_name_that_somebody_pointed_here_reads_nothing(host: str) -> None:
    reply = await _ask("GET", {"host": host})
    assert reply.status == 403
    assert reply.json["type"] == "/problems/forbidden"
    assert "allowed_hosts" in reply.json["detail"]
    assert reply.headers["x-request-id"] == reply.json["request_id"]


async def test_names_can_be_added_and_all_be_allowed() -> None:
    host = {"host": "Jobs.Example.com:443"}
    assert (await _ask("GET", host)).status == 403
    assert (await _ask("GET", host, allowed_hosts=("jobs.example.com",))).status == 204
    assert (await _ask("GET", host, allowed_hosts=("*",))).status == 204
    assert (await _ask("GET", host, bind="unix:/tmp/x.sock")).status == 204


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "http://localhost:3000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_a_web_page_of_another_origin_changes_nothing(headers: dict[str, str]) -> None:
    assert (await _ask("POST", {"host": "localhost:8080", **headers})).status == 403
    assert (await _ask("GET", {"host": "localhost:8080", **headers})).status == 204


async def test_our_own_pages_and_programs_may() -> None:
    own = {"host": "localhost:8080", "origin": "http://localhost:8080"}
    assert (await _ask("POST", {**own, "sec-fetch-site": "same-origin"})).status == 204
    assert (await _ask("POST", {"host": "localhost:8080", "sec-fetch-site": "none"})).status == 204
