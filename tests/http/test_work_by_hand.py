"""Workers made of curl: one job in the path, its lease in a header."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_jobs.config import Settings
from trio_jobs.job import State

from ..conftest import now
from .asgi import JSON, Api, Reply, opened

TEXT = {"Content-Type": "text/plain"}


@pytest.fixture
async def api(tmp_path: Path, autojump_clock: object) -> Any:
    settings = Settings(remote_types=("*",), data_dir=str(tmp_path))
    async with opened(tmp_path, settings=settings) as api:
        yield api


async def claimed(api: Api, lease: float = 60) -> Any:
    await api.post({"type": "resize"})
    body = json.dumps({"worker": "sh", "types": ["resize"], "lease": lease}).encode()
    [job] = (await api.ask("POST", "/worker/claim", body, JSON)).json["jobs"]
    return job


async def by_hand(
    api: Api, job: Any, verb: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> Reply:
    lease = {"Lease-Token": job["lease_token"], **(headers or {})}
    return await api.ask("POST", f"/worker/jobs/{job['id']}/{verb}", body, lease)


async def test_a_heartbeat_by_hand_keeps_the_job(api: Api, autojump_clock: object) -> None:
    job = await claimed(api, lease=33)
    reply = await by_hand(api, job, "heartbeat")
    assert reply.json == {"id": job["id"], "ok": True, "lease_seconds": 33, "cancel": None}
    await by_hand(api, job, "heartbeat", b'{"progress": {"done": 1}, "logs": ["hm"]}', JSON)
    assert (await api.get(f"/jobs/{job['id']}"))["progress"]["done"] == 1
    await api.ask("POST", f"/jobs/{job['id']}/cancel")
    assert (await by_hand(api, job, "heartbeat")).json["cancel"] == "cancelled"


@pytest.mark.parametrize(
    ("body", "headers", "media_type"),
    [
        (b"\x89PNG", {"Content-Type": "image/png"}, "image/png"),
        (b'{"a": 1}', JSON, "application/json"),
        (b"a=1", {}, "application/octet-stream"),
        (b"a,b", {"Content-Type": "text/csv; charset=utf-8"}, "text/csv; charset=utf-8"),
    ],
)
async def test_the_body_is_the_result(
    api: Api, autojump_clock: object, body: bytes, headers: dict[str, str], media_type: str
) -> None:
    job = await claimed(api)
    for _ in range(2):  # the first answer may have been lost
        reply = await by_hand(api, job, "complete", body, headers)
        assert reply.json == {"id": job["id"], "ok": True, "state": "done"}
    result = await api.ask("GET", f"/jobs/{job['id']}/result")
    assert (result.body, result.headers["content-type"]) == (body, media_type)


async def test_no_body_is_no_result(api: Api, autojump_clock: object) -> None:
    job = await claimed(api)
    assert (await by_hand(api, job, "complete")).json["state"] == "done"
    assert (await api.get(f"/jobs/{job['id']}"))["result"] is None


@pytest.mark.parametrize(
    ("body", "headers", "state", "message"),
    [
        (b"disk full", TEXT, State.SCHEDULED, "disk full"),
        (b"disk full", {"Content-Type": "application/x-www-form-urlencoded"}, State.SCHEDULED,
         "disk full"),
        (b"", {}, State.SCHEDULED, "the worker did not say why"),
        (b'{"error": "no", "retry": false}', JSON, State.FAILED, "no"),
        (b'{"error": {"type": "E", "message": "m"}, "after": 9}', JSON, State.SCHEDULED, "m"),
    ],
)  # fmt: skip
async def test_a_failure_says_why(
    api: Api,
    autojump_clock: object,
    body: bytes,
    headers: dict[str, str],
    state: State,
    message: str,
) -> None:
    job = await claimed(api)
    assert (await by_hand(api, job, "fail", body, headers)).json["state"] == state
    assert (await api.get(f"/jobs/{job['id']}"))["error"]["message"] == message


async def test_a_released_job_goes_back_uncharged(api: Api, autojump_clock: object) -> None:
    job = await claimed(api)
    assert (await by_hand(api, job, "release")).json["state"] == "queued"
    assert (await api.get(f"/jobs/{job['id']}"))["attempt"] == 0


@pytest.mark.parametrize("verb", ["heartbeat", "complete", "fail", "release"])
async def test_who_is_late_hears_that_his_lease_is_lost(
    api: Api, autojump_clock: object, verb: str
) -> None:
    job = await claimed(api, lease=10)
    await trio.sleep(11)
    await api.store.rescue(now(), 10)
    reply = await by_hand(api, job, verb)
    assert (reply.status, reply.json["type"]) == (409, "/problems/lease-lost")


@pytest.mark.parametrize("verb", ["heartbeat", "complete", "fail", "release"])
async def test_without_a_lease_nothing_is_done(api: Api, autojump_clock: object, verb: str) -> None:
    job = await claimed(api)
    reply = await by_hand(api, job | {"lease_token": ""}, verb)
    assert (reply.status, reply.json["type"]) == (400, "/problems/malformed")


async def test_what_calls_itself_json_must_be_some(api: Api, autojump_clock: object) -> None:
    job = await claimed(api)
    assert (await by_hand(api, job, "complete", b"{", JSON)).status == 400
    assert (await by_hand(api, job, "complete", b"{}", JSON)).status == 200
