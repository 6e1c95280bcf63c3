"""What a person may do to one job, and what the states forbid."""

import pytest
import trio

from trio_jobs.job import State

from .asgi import JSON, Api, opened

UNKNOWN = "/jobs/0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d"


@pytest.fixture
async def api(tmp_path, autojump_clock):
    async with opened(tmp_path, worker=True) as api:
        yield api


async def made(api: Api, **options: object) -> str:
    """The path of a new job that waits, unless told otherwise."""
    return (await api.post({"type": "noop", "delay": 1000, **options})).headers["location"]


async def test_a_job_that_waits_is_cancelled_at_once(api: Api, autojump_clock):
    path = await made(api)
    reply = await api.ask("POST", f"{path}/cancel")
    assert (reply.status, reply.json["state"], reply.json["status"]) == (200, "cancelled", "failed")
    again = await api.ask("POST", f"{path}/cancel")
    assert (again.status, again.json["type"]) == (409, "/problems/conflict")


async def test_a_job_that_runs_is_asked_to_stop(api: Api, autojump_clock):
    path = await made(api, type="sleep", input={"seconds": 600}, delay=None)
    await trio.sleep(1)
    reply = await api.ask("POST", f"{path}/cancel")
    assert (reply.status, reply.json["state"]) == (202, "running")
    assert reply.json["cancel_requested_at"].endswith("Z")
    ended = await api.get(f"{path}?wait=5")
    assert (ended["state"], ended["reason"]) == ("cancelled", "cancelled")


async def test_a_finished_job_can_be_retried_and_removed(api: Api, autojump_clock):
    path = await made(api)
    assert (await api.ask("POST", f"{path}/retry")).status == 409
    assert (await api.ask("DELETE", path)).status == 409
    await api.ask("POST", f"{path}/cancel")
    retried = await api.ask("POST", f"{path}/retry")
    assert (retried.status, retried.json["finished_at"]) == (200, None)
    assert (await api.get(f"{path}?wait=5"))["state"] == "done"
    removed = await api.ask("DELETE", path)
    assert (removed.status, removed.body) == (204, b"")
    assert "content-type" not in removed.headers
    assert (await api.ask("GET", path)).status == 404


async def test_a_job_can_be_run_now_or_later(api: Api, autojump_clock):
    path = await made(api)
    snoozed = await api.ask("POST", f"{path}/snooze?seconds=5000")
    assert snoozed.json["run_at"] > snoozed.json["updated_at"]
    again = await api.ask("POST", f"{path}/snooze", b'{"seconds":6000}', JSON)
    assert again.json["run_at"] > snoozed.json["run_at"]
    due = await api.ask("POST", f"{path}/run-now")
    assert due.json["state"] in ("queued", "running")
    assert (await api.get(f"{path}?wait=5"))["state"] == "done"
    assert (await api.ask("POST", f"{path}/run-now")).status == 409
    assert (await api.ask("POST", f"{path}/snooze?seconds=5")).status == 409


@pytest.mark.parametrize(
    ("query", "body", "headers", "status"),
    [
        ("", b"", {}, 415),
        ("", b"{}", JSON, 422),
        ("", b"{", JSON, 400),
        ("", b'{"seconds":-1}', JSON, 422),
        ("", b'{"seconds":1,"x":2}', JSON, 422),
        ("?seconds=x", b"", {}, 400),
        ("?seconds=nan", b"", {}, 422),
        ("?seconds=1e300", b"", {}, 422),
        ("?x=1", b"", {}, 400),
    ],
)
async def test_a_snooze_needs_a_time(api: Api, autojump_clock, query, body, headers, status):
    path = await made(api)
    assert (await api.ask("POST", f"{path}/snooze{query}", body, headers)).status == status


async def test_a_queue_can_be_limited_and_paused_in_one(api: Api, autojump_clock):
    changed = await api.ask("PATCH", "/queues/media", b'{"limit":3,"paused":true}', JSON)
    assert changed.status == 200
    assert (changed.json["limit"], changed.json["paused"]) == (3, True)
    assert (await api.get("/queues/media"))["limit"] == 3
    again = await api.ask("PATCH", "/queues/media", b'{"limit":null}', JSON)
    assert (again.json["limit"], again.json["paused"]) == (None, True)
    went_on = await api.ask("PATCH", "/queues/media", b'{"paused":false}', JSON)
    assert (went_on.json["limit"], went_on.json["paused"]) == (None, False)
    for wrong in (b'{"limit":0}', b'{"limit":1.5}', b'{"limt":1}', b'{"limit":1000001}', b"[]"):
        assert (await api.ask("PATCH", "/queues/media", wrong, JSON)).status == 422
    assert (await api.ask("PATCH", "/queues/a b", b'{"limit":1}', JSON)).status == 422


async def test_jobs_of_a_limited_queue_run_one_after_the_other(api: Api, autojump_clock):
    """Without a pause between: the end of one is the moment to look for the next."""
    await api.ask("PATCH", "/queues/media", b'{"limit":1}', JSON)
    start = trio.current_time()
    jobs = [{"type": "sleep", "queue": "media", "input": {"seconds": 10}}] * 3
    ids = [job["id"] for job in (await api.post(jobs)).json["jobs"]]
    why = (await api.get(f"/jobs/{ids[2]}/why"))["reasons"]
    assert "limit_reached" in [reason["code"] for reason in why]
    assert (await api.get(f"/jobs/{ids[2]}?wait=50"))["state"] == "done"
    assert trio.current_time() - start < 30.1
    queue = await api.get("/queues/media")
    assert queue["jobs"]["done"] == 3
    assert queue["rate"] > 0


async def test_a_job_that_waits_can_be_changed(api: Api, autojump_clock):
    path = await made(api)
    changes = (
        b'{"priority":7,"queue":"q","tags":["a"],"timeout":2.5,"run_at":"2030-01-01T00:00:00Z"}'
    )
    reply = await api.ask("PATCH", path, changes, JSON | {"If-Match": '"1"'})
    assert reply.status == 200
    job = reply.json
    assert (job["priority"], job["queue"], job["tags"], job["timeout"]) == (7, "q", ["a"], 2.5)
    assert job["run_at"] == "2030-01-01T00:00:00.000000Z"
    assert reply.headers["etag"] == f'"{job["version"]}"'


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"priority":1}', JSON | {"If-Match": '"9"'}, 412),
        (b'{"priority":1}', JSON | {"If-Match": "x"}, 400),
        (b'{"priority":1}', JSON | {"If-Match": ""}, 412),
        (b'{"priority":1}', JSON | {"If-Match": '"x"'}, 400),
        (b'{"priority":1}', JSON | {"If-Match": "*"}, 200),
        (b'{"priority":1}', {}, 415),
        (b'{"priority":101}', JSON, 422),
        (b'{"timeout":null}', JSON, 422),
        (b'{"type":"sleep"}', JSON, 422),
        (b'{"run_at":"soon"}', JSON, 422),
        (b'{"queue":"a b"}', JSON, 422),
        (b"[]", JSON, 422),
        (b"{", JSON, 400),
        (b"{}" + b" " * 1_000_000, JSON, 413),
    ],
)
async def test_a_change_is_checked(api: Api, autojump_clock, body, headers, status):
    reply = await api.ask("PATCH", await made(api), body, headers)
    assert reply.status == status
    if status >= 400:
        assert reply.headers["content-type"] == "application/problem+json"


async def test_a_job_that_ended_is_not_changed(api: Api, autojump_clock):
    path = await made(api)
    await api.ask("POST", f"{path}/cancel")
    assert (await api.ask("PATCH", path, b'{"priority":1}', JSON)).status == 409


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", f"/{verb}") for verb in ("cancel", "retry", "run-now", "snooze?seconds=1")),
        *(("GET", f"/{part}") for part in ("attempts", "logs", "why", "payload", "result")),
        ("GET", "/events"),
        ("GET", "/logs?follow"),
        ("DELETE", ""),
    ],
)
async def test_a_job_that_is_not_there_is_not_found(api: Api, autojump_clock, method, path):
    for id_, status in ((UNKNOWN, 404), ("/jobs/7", 400)):
        reply = await api.ask(method, id_ + path)
        assert reply.status == status
        assert reply.json["type"] == f"/problems/{'not-found' if status == 404 else 'malformed'}"


async def test_ids_may_be_written_in_capitals(api: Api, autojump_clock):
    path = await made(api)
    reply = await api.ask("POST", f"/jobs/{path.removeprefix('/jobs/').upper()}/cancel")
    assert reply.json["state"] == State.CANCELLED
