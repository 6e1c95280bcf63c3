"""Long polls and conditional requests, through the hot path and through Quart."""

import pytest
import trio

from .asgi import JSON, Api, opened

WAYS = ("hot", "quart")
SLEEP = {"type": "sleep", "input": {"seconds": 5}}


@pytest.fixture(params=WAYS)
async def api(request, tmp_path, autojump_clock):
    async with opened(tmp_path, request.param, worker=True) as api:
        yield api


async def test_a_job_can_be_had_with_its_result_in_one_request(api: Api, autojump_clock):
    reply = await api.post({**SLEEP, "wait": 30})
    assert reply.status == 201
    assert reply.json["output"] == {"slept": 5.0}
    assert trio.current_time() == pytest.approx(5, abs=0.5)


async def test_a_wait_that_is_over_is_no_error(api: Api, autojump_clock):
    posted = await api.ask("POST", "/jobs?wait=2", b'{"type":"sleep","input":{"seconds":5}}', JSON)
    assert posted.status == 201
    assert posted.json["status"] == "running"
    path = posted.headers["location"]
    assert (await api.get(f"{path}?wait=1"))["status"] == "running"
    done = await api.ask("GET", path, headers={"Prefer": "wait=30"})
    assert done.json["status"] == "done"
    assert trio.current_time() == pytest.approx(5, abs=0.5)


async def test_nobody_waits_longer_than_a_proxy_does(api: Api, autojump_clock):
    posted = await api.post({"type": "noop", "delay": 1000})
    await api.get(posted.headers["location"] + "?wait=100000000000000000000000000")
    assert trio.current_time() == pytest.approx(55, abs=0.5)


async def test_an_unchanged_job_is_not_sent_again(api: Api, autojump_clock):
    posted = await api.post({"type": "noop", "delay": 1000})
    path = posted.headers["location"]
    etag = (await api.ask("GET", path)).headers["etag"]
    assert etag == f'"{posted.json["version"]}"'
    for tags in (etag, f"W/{etag}", f'"9", {etag}', "*"):
        reply = await api.ask("GET", path, headers={"If-None-Match": tags})
        assert (reply.status, reply.body) == (304, b"")
        assert reply.headers["etag"] == etag
        assert "content-length" not in reply.headers
        assert "content-type" not in reply.headers
    for tags in ('"9"', "nonsense", '"', ","):
        assert (await api.ask("GET", path, headers={"If-None-Match": tags})).status == 200


async def test_any_change_ends_a_wait_for_a_change(api: Api, autojump_clock):
    posted = await api.post({**SLEEP, "delay": 10})
    path, etag = posted.headers["location"], f'"{posted.json["version"]}"'
    states = []
    while not states or states[-1] != "done":
        reply = await api.ask("GET", f"{path}?wait=50", headers={"If-None-Match": etag})
        assert reply.status == 200
        assert reply.headers["etag"] != etag
        etag = reply.headers["etag"]
        states.append(reply.json["state"])
    assert "running" in states
    assert trio.current_time() == pytest.approx(15, abs=2)
    unchanged = await api.ask("GET", f"{path}?wait=3", headers={"If-None-Match": etag})
    assert unchanged.status == 304


@pytest.mark.parametrize("how", ["get", "post"])
async def test_a_client_that_leaves_is_not_waited_for(api: Api, autojump_clock, how: str):
    posted = await api.post({"type": "noop", "delay": 1000})
    start = trio.current_time()
    request = ("GET", posted.headers["location"] + "?wait=50", b"", {})
    if how == "post":
        request = ("POST", "/jobs", b'{"type":"noop","delay":1000,"wait":50}', JSON)
    async with api.asking(*request) as conversation:
        await trio.sleep(5)
        conversation.leave()
    assert trio.current_time() - start == pytest.approx(5, abs=0.1)
    assert conversation.sent == []


async def test_a_service_that_stops_answers_those_who_wait(api: Api, autojump_clock):
    posted = await api.post({"type": "noop", "delay": 1000})
    async with api.asking("GET", posted.headers["location"] + "?wait=50") as conversation:
        await trio.sleep(5)
        api.service.drain()
    assert conversation.reply.json["state"] == "scheduled"
    assert trio.current_time() == pytest.approx(5, abs=0.1)
