"""What there is to know about one job: attempts, lines, obstacles, and its raw bodies."""

import logging

import pytest
import trio

from trio_jobs.registry import Ctx, Handler

from .asgi import Api, opened

log = logging.getLogger("a.handler")


async def talk(input_: dict, ctx: Ctx) -> bytes:
    """Logs `lines` lines, a second between them."""
    for number in range(input_["lines"]):
        log.warning("line %d", number)
        await trio.sleep(1)
    return b"<script>alert(1)</script>"


async def fail(_input: dict, _ctx: Ctx) -> None:
    raise ValueError("no such luck")


MORE = [Handler("talk", talk), Handler("fail", fail, max_attempts=2)]


@pytest.fixture
async def api(tmp_path, autojump_clock):
    async with opened(tmp_path, worker=True, more=MORE) as api:
        yield api


async def test_each_attempt_is_told(api: Api, autojump_clock):
    path = (await api.post({"type": "fail", "backoff": [7]})).headers["location"]
    await api.get(f"{path}?wait=50")
    first, second = (await api.get(f"{path}/attempts"))["attempts"]
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert first["started_at"] <= first["finished_at"] < second["started_at"]
    assert first["error"]["message"] == "no such luck"
    assert "ValueError" in second["error"]["type"]
    [found] = (await api.get("/jobs?error~=such%20luck&type=fail,noop"))["jobs"]
    assert found["backoff"] == [7]


async def test_lines_are_paged(api: Api, autojump_clock):
    path = (await api.post({"type": "talk", "input": {"lines": 5}})).headers["location"]
    await api.get(f"{path}?wait=50")
    page = await api.get(f"{path}/logs?limit=3")
    assert [line["message"] for line in page["lines"]] == ["line 0", "line 1", "line 2"]
    assert page["lines"][0].keys() == {"n", "at", "level", "attempt", "message"}
    rest = await api.get(f"{path}/logs?limit=3&after={page['next']}")
    assert [line["n"] for line in rest["lines"]] == [4, 5]
    assert rest["next"] is None
    for query in ("limit=0", "limit=1001", "limit=x", "after=x", "nope=1"):
        assert (await api.ask("GET", f"{path}/logs?{query}")).status in (400, 422)


async def test_why_a_job_does_not_run(api: Api, autojump_clock):
    path = (await api.post({"type": "noop", "delay": 100})).headers["location"]
    told = await api.get(f"{path}/why")
    assert (told["state"], told["reasons"][0]["code"]) == ("scheduled", "scheduled")
    assert told["reasons"][0]["detail"]


async def test_bodies_come_back_as_they_went_in_and_are_never_shown(api: Api, autojump_clock):
    data = bytes(range(256))
    upload = await api.ask(
        "POST",
        "/jobs?type=process_file&operation=checksum",
        data,
        {"Content-Type": "text/html; charset=x"},
    )
    path = upload.headers["location"]
    reply = await api.ask("GET", f"{path}/payload")
    assert (reply.status, reply.body) == (200, data)
    assert reply.headers["content-type"] == "text/html; charset=x"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-disposition"].startswith("attachment; filename=")
    head = await api.ask("HEAD", f"{path}/payload")
    assert head.headers["content-length"] == "256"
    await api.get(f"{path}?wait=9")
    result = await api.ask("GET", f"{path}/result")
    assert result.headers["content-type"] == "application/json"
    assert result.json == (await api.get(path))["output"]


async def test_a_result_that_is_not_there_is_not_found(api: Api, autojump_clock):
    path = (await api.post({"type": "noop", "delay": 100})).headers["location"]
    reply = await api.ask("GET", f"{path}/result")
    assert (reply.status, reply.json["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize("content_type", ["nonsense", "a/b; x=é", "text/html\x7f"])
async def test_a_content_type_that_is_none_is_not_handed_on(api: Api, autojump_clock, content_type):
    headers = {"Content-Type": content_type}
    upload = await api.ask("POST", "/jobs?type=process_file&operation=count", b"x", headers)
    assert upload.status == 201
    reply = await api.ask("GET", upload.headers["location"] + "/payload")
    assert reply.headers["content-type"] == "application/octet-stream"


async def test_the_filters_of_a_list_hold_together(api: Api, autojump_clock):
    for n in range(4):
        body = {"type": "noop", "input": {"user": {"id": n}}, "tags": [f"t{n}"], "delay": 50 + n}
        await api.post(body)
    await api.post({"type": "sleep", "input": {"seconds": 1}, "unique_key": "k", "queue": "q"})
    await trio.sleep(5)

    async def found(query: str) -> int:
        return len((await api.get(f"/jobs?{query}"))["jobs"])

    assert await found("input.user.id=2") == 1
    assert await found("tag=t1,t2") == 2
    assert await found("tag=t1,t2&input.user.id=2") == 1
    assert await found("state=scheduled,done") == 5
    assert await found("status=done") == await found("queue=q") == await found("key=k") == 1
    assert await found("status=done&state=scheduled") == 0
    assert await found("type=noop&created_before=2000-01-01T00:00:00Z") == 0
    assert await found("type=noop,sleep&created_after=2000-01-01T00:00:00Z") == 5


async def test_a_list_links_to_its_next_page(api: Api, autojump_clock):
    await api.post([{"type": "noop", "tags": ["a"]}] * 3)
    path, seen = "/jobs?limit=2&tag=a,b%26", []
    reply = await api.ask("GET", path)
    while True:
        seen += [job["id"] for job in reply.json["jobs"]]
        if "link" not in reply.headers:
            break
        link = reply.headers["link"]
        assert link.endswith('>; rel="next"')
        reply = await api.ask("GET", link[1:].partition(">")[0])
    assert len(seen) == len(set(seen)) == 3
    assert reply.json["next"] is None
