"""Workers elsewhere are known, told what to do, limited by their tokens, and forgotten."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_jobs.config import Settings

from .asgi import JSON, Api, Reply, opened


@pytest.fixture
async def api(tmp_path: Path, autojump_clock: object) -> Any:
    settings = Settings(remote_types=("*",), data_dir=str(tmp_path))
    async with opened(tmp_path, settings=settings) as api:
        yield api


async def ask(api: Api, path: str, headers: dict[str, str] | None = None, **body: Any) -> Reply:
    return await api.ask("POST", path, json.dumps(body).encode(), JSON | (headers or {}))


async def claim(api: Api, worker: str, **more: Any) -> Reply:
    return await ask(api, "/worker/claim", worker=worker, **{"types": ["resize"], **more})


async def remote(api: Api) -> Any:
    return (await api.get("/workers"))["remote"]


async def test_a_worker_is_listed_with_what_it_does(api: Api, autojump_clock: object) -> None:
    posted = await api.post({"type": "resize", "queue": "media"})
    await claim(api, "a/1", queues=["media"])
    await claim(api, "b/2", types=["x", "y"])
    first, second = await remote(api)
    assert first.pop("seen_at").endswith("Z")
    assert first == {
        "name": "a/1", "types": ["resize"], "queues": ["media"], "jobs": [posted.json["id"]],
        "directive": "run",
    }  # fmt: skip
    assert (second["types"], second["queues"], second["jobs"]) == (["x", "y"], None, [])


async def test_what_only_workers_elsewhere_can_is_a_type_too(
    api: Api, autojump_clock: object
) -> None:
    await claim(api, "a/1", types=["resize", "noop"])
    *known, last = (await api.get("/types"))["types"]
    assert [one["type"] for one in known].count("noop") == 1
    assert "resize" not in {one["type"] for one in known}
    assert last == {
        "type": "resize", "summary": "Run by workers elsewhere.", "input": {}, "output": {},
        "timeout": None, "max_attempts": None, "isolation": None, "accepts_upload": True,
    }  # fmt: skip


async def test_whoever_speaks_is_there_and_whoever_is_silent_is_gone(
    api: Api, autojump_clock: object
) -> None:
    await claim(api, "a/1")
    await claim(api, "b/2")
    await trio.sleep(200)
    await ask(api, "/worker/heartbeat", worker="a/1", jobs=[])
    await trio.sleep(101)
    assert [worker["name"] for worker in await remote(api)] == ["a/1"]
    await ask(api, "/worker/settle", worker="c/3", jobs=[])
    await trio.sleep(200)
    assert [worker["name"] for worker in await remote(api)] == ["c/3"]


async def test_a_directive_travels_in_each_answer(api: Api, autojump_clock: object) -> None:
    await api.post({"type": "resize"})
    await claim(api, "a/1")
    told = await ask(api, "/workers/quiet", workers=["a/1"])
    assert told.json == {"workers": ["a/1"], "directive": "quiet"}
    for path, more in (
        ("claim", {"types": ["resize"]}),
        ("heartbeat", {"jobs": []}),
        ("settle", {"jobs": []}),
        ("settle", {"jobs": [], "claim": {"types": ["resize"]}}),
    ):
        reply = await ask(api, f"/worker/{path}", worker="a/1", **more)
        assert (reply.json["directive"], reply.json.get("jobs", [])) == ("quiet", [])
    assert (await claim(api, "b/2")).json["directive"] == "run"
    await ask(api, "/workers/stop", workers=["a/1"])
    assert (await claim(api, "a/1")).json["directive"] == "stop"
    assert (await remote(api))[0]["directive"] == "stop"


async def test_who_is_seen_while_he_is_told_is_told(api: Api, autojump_clock: object) -> None:
    read = api.store.roster

    async def roster() -> Any:
        found = await read()
        api.service.working._remotes.saw("a/1", ["resize"])
        api.store.roster = read
        return found

    api.store.roster = roster
    assert (await ask(api, "/workers/stop", workers=["a/1"])).status == 200
    assert (await claim(api, "a/1")).json["directive"] == "stop"
    await trio.sleep(2)
    assert (await claim(api, "a/1")).json["directive"] == "stop"


async def test_a_quiet_worker_gets_nothing_until_it_may_go_on(
    api: Api, autojump_clock: object
) -> None:
    await claim(api, "a/1")
    await ask(api, "/workers/quiet", workers=["a/1"])
    await api.post({"type": "resize"})
    began = trio.current_time()
    body = json.dumps({"worker": "a/1", "types": ["resize"], "wait": 30}).encode()
    async with api.asking("POST", "/worker/claim", body, JSON) as asking:
        await trio.sleep(9)
        await ask(api, "/workers/run", workers=["a/1"])
    assert asking.reply.json == {"jobs": [], "directive": "run"}
    assert trio.current_time() - began < 10, "the news are not slept through"
    assert len((await claim(api, "a/1")).json["jobs"]) == 1


async def test_who_waits_for_a_job_hears_at_once_that_it_has_to_stop(
    api: Api, autojump_clock: object
) -> None:
    body = json.dumps({"worker": "a/1", "types": ["resize"], "wait": 30}).encode()
    began = trio.current_time()
    async with api.asking("POST", "/worker/claim", body, JSON) as asking:
        await trio.sleep(2)
        await ask(api, "/workers/stop", workers=["a/1"])
    assert asking.reply.json == {"jobs": [], "directive": "stop"}
    assert trio.current_time() - began < 3


async def test_a_worker_that_does_not_stop_is_held_back_and_does_not_spin(
    api: Api, autojump_clock: object
) -> None:
    await claim(api, "a/1")
    await ask(api, "/workers/stop", workers=["a/1"])
    began = trio.current_time()
    for _ in range(5):
        await claim(api, "a/1", wait=20)
    assert trio.current_time() - began == pytest.approx(5, abs=0.1)


async def test_a_worker_that_nobody_has_seen_cannot_be_told_anything(
    api: Api, autojump_clock: object
) -> None:
    await claim(api, "a/1")
    reply = await ask(api, "/workers/stop", workers=["a/1", "b/2"])
    assert (reply.status, "b/2" in reply.json["detail"]) == (404, True)
    assert (await claim(api, "a/1")).json["directive"] == "run"
    assert (await ask(api, "/workers/stop", workers=[])).status == 422


# ── tokens ────────────────────────────────────────────────────────────────────────────────────


async def bearer(api: Api, *scopes: str, **limits: Any) -> dict[str, str]:
    _, secret = await api.service.tokens.create("test", scopes, **limits)
    return {"Authorization": f"Bearer {secret}"}


async def test_a_limited_token_claims_only_its_own(api: Api, autojump_clock: object) -> None:
    token = await bearer(api, "jobs:work", types=["resize"], queues=["media", "other"])
    await api.post({"type": "resize"})
    mine = (await api.post({"type": "resize", "queue": "media"})).json["id"]
    for types, queues in ((["resize", "x"], None), (["resize"], ["default"])):
        refused = await claim(api, "a/1", headers=token, types=types, queues=queues)
        assert (refused.status, refused.json["type"]) == (403, "/problems/denied")
    [job] = (await claim(api, "a/1", headers=token, max=9)).json["jobs"]
    assert job["id"] == mine


async def test_a_limited_token_cannot_end_the_job_of_others(
    api: Api, autojump_clock: object
) -> None:
    other = await bearer(api, "jobs:work", types=["x"])
    await api.post({"type": "resize"})
    [job] = (await claim(api, "a/1")).json["jobs"]
    end = {"id": job["id"], "lease_token": job["lease_token"], "outcome": "done"}
    reply = await ask(api, "/worker/settle", other, worker="b/2", jobs=[end])
    assert reply.json["settled"][0]["ok"] is False
    del end["outcome"]
    reply = await ask(api, "/worker/heartbeat", other, worker="b/2", jobs=[end])
    assert reply.json["jobs"][0]["ok"] is False
    assert (await api.get(f"/jobs/{job['id']}"))["state"] == "running"


async def test_who_works_may_not_tell_others_to_stop(api: Api, autojump_clock: object) -> None:
    await claim(api, "a/1")
    token = await bearer(api, "jobs:work")
    assert (await ask(api, "/workers/stop", token, workers=["a/1"])).status == 403
    token = await bearer(api, "queues:admin", types=["resize"])
    assert (await ask(api, "/workers/stop", token, workers=["a/1"])).status == 403
    token = await bearer(api, "queues:admin")
    assert (await ask(api, "/workers/stop", token, workers=["a/1"])).status == 200


async def test_ends_and_heartbeats_are_never_too_many(
    tmp_path: Path, autojump_clock: object
) -> None:
    settings = Settings(rate_limit=1.0, data_dir=str(tmp_path))
    async with opened(tmp_path, settings=settings) as api:
        for path in ("heartbeat", "settle"):
            for _ in range(5):
                assert (await ask(api, f"/worker/{path}", worker="a", jobs=[])).status == 200
        assert [(await claim(api, "a")).status for _ in range(3)] == [200, 200, 429]
