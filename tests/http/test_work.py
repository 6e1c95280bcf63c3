"""Workers elsewhere: three calls, each through the hot path and through the framework."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_jobs.config import Settings
from trio_jobs.storage.remote import Seen
from trio_jobs.storage.sqlite import SqliteStore

from ..conftest import now
from .asgi import JSON, Api, Reply, opened

WORKER = "host-1/4711"


@pytest.fixture(params=["hot", "quart"])
async def api(request: pytest.FixtureRequest, tmp_path: Path, autojump_clock: object) -> Any:
    settings = Settings(remote_types=("resize",), data_dir=str(tmp_path), job_timeout=100.0)
    async with opened(tmp_path, request.param, settings) as api:
        yield api


async def ask(api: Api, call: str, **body: Any) -> Reply:
    return await api.ask("POST", f"/worker/{call}", json.dumps(body).encode(), JSON)


async def said(api: Api, call: str, **body: Any) -> Any:
    reply = await ask(api, call, worker=WORKER, **body)
    assert reply.status == 200, reply.body
    return reply.json


async def post(api: Api, type_: str = "resize", **options: Any) -> str:
    reply = await api.post({"type": type_, **options})
    assert reply.status == 201, reply.body
    id_: str = reply.json["id"]
    return id_


async def claim(api: Api, **more: Any) -> Any:
    """The one job that there is."""
    [job] = (await said(api, "claim", **{"types": ["resize"], **more}))["jobs"]
    return job


async def settle(api: Api, job: Any, outcome: str, **more: Any) -> Any:
    """How one job was settled."""
    end = {"id": job["id"], "lease_token": job["lease_token"], "outcome": outcome, **more}
    [settled] = (await said(api, "settle", jobs=[end]))["settled"]
    return settled


async def beat(api: Api, job: Any, **more: Any) -> Any:
    one = {"id": job["id"], "lease_token": job["lease_token"], **more}
    [beaten] = (await said(api, "heartbeat", jobs=[one]))["jobs"]
    return beaten


# ── claim ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_claimed_job_has_all_that_a_worker_needs(api: Api, autojump_clock: object) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    reply = await api.ask(
        "POST",
        "/jobs",
        json.dumps({"type": "resize", "input": {"w": 3}, "tags": ["a"], "timeout": 9}).encode(),
        {**JSON, "traceparent": trace},
    )
    told = await said(api, "claim", types=["resize"], lease=45)
    assert told["directive"] == "run"
    [job] = told["jobs"]
    token = job.pop("lease_token")
    assert isinstance(token, str)
    assert job == {
        "id": reply.json["id"],
        "type": "resize",
        "queue": "default",
        "attempt": 1,
        "max_attempts": 5,
        "lease_seconds": 45,
        "deadline_seconds": 9,
        "timeout": 9,
        "expires_seconds": None,
        "backoff": None,
        "crashes": 0,
        "payload": base64.b64encode(b'{"w": 3}').decode(),
        "input": {"w": 3},
        "content_type": "application/json",
        "saved": None,
        "traceparent": trace,
        "tags": ["a"],
    }
    shown = await api.get(f"/jobs/{job['id']}")
    assert (shown["state"], shown["attempt"]) == ("running", 1)
    [attempt] = (await api.get(f"/jobs/{job['id']}/attempts"))["attempts"]
    assert attempt["worker"] == WORKER


async def test_bytes_come_as_bytes(api: Api, autojump_clock: object) -> None:
    await api.ask("POST", "/jobs?type=resize&size=3", b"\x00\xff", {"Content-Type": "image/png"})
    job = await claim(api)
    assert "input" not in job
    assert base64.b64decode(job["payload"]) == b"\x00\xff"
    assert (job["content_type"], job["params"]) == ("image/png", {"size": "3"})


async def test_an_empty_claim_is_no_error(api: Api, autojump_clock: object) -> None:
    assert await said(api, "claim", types=["resize"]) == {"jobs": [], "directive": "run"}


async def test_a_claim_brings_no_more_than_it_asks_for_and_only_from_its_queues(
    api: Api, autojump_clock: object
) -> None:
    for queue in ("a", "a", "a", "b"):
        await post(api, queue=queue)
    told = await said(api, "claim", types=["resize"], queues=["a"], max=2)
    assert [job["queue"] for job in told["jobs"]] == ["a", "a"]
    told = await said(api, "claim", types=["resize", "other"], queues=["b", "c"], max=9)
    assert [job["queue"] for job in told["jobs"]] == ["b"]


async def test_a_claim_may_say_how_many_of_each_queue(api: Api, autojump_clock: object) -> None:
    for queue in ("a", "a", "b", "b", "c"):
        await post(api, queue=queue)
    told = await said(api, "claim", types=["resize"], queues={"a": 1, "*": 2}, max=9)
    assert [job["queue"] for job in told["jobs"]] == ["a", "b", "b"]


async def test_a_worker_knows_best_how_long_jobs_take_that_are_unknown_here(
    api: Api, autojump_clock: object
) -> None:
    await post(api)
    job = await claim(api, lease=200)
    await trio.sleep(101)  # more than job_timeout
    assert (await beat(api, job, timeout=500))["cancel"] is None
    assert (await beat(api, job))["cancel"] == "timeout"


async def test_who_waits_gets_the_job_when_it_comes(api: Api, autojump_clock: object) -> None:
    began = trio.current_time()
    async with api.asking(
        "POST",
        "/worker/claim",
        json.dumps({"worker": WORKER, "types": ["resize"], "wait": 30}).encode(),
        JSON,
    ) as asking:
        await trio.sleep(7)
        id_ = await post(api)
    assert [job["id"] for job in asking.reply.json["jobs"]] == [id_]
    assert trio.current_time() - began < 7.5


async def test_who_waits_in_vain_hears_so_in_time(api: Api, autojump_clock: object) -> None:
    began = trio.current_time()
    assert (await said(api, "claim", types=["resize"], wait=5))["jobs"] == []
    assert 5 <= trio.current_time() - began < 6
    await said(api, "claim", types=["resize"], wait=1e6)
    assert trio.current_time() - began < 65


async def test_a_job_of_another_process_is_found_by_the_poll_beneath_the_bell(
    api: Api, autojump_clock: object
) -> None:
    id_ = await post(api, delay=3)
    began = trio.current_time()
    async with api.asking(
        "POST",
        "/worker/claim",
        json.dumps({"worker": WORKER, "types": ["resize"], "wait": 30}).encode(),
        JSON,
    ) as asking:
        await trio.sleep(4)
        store = api.store
        bells, store.doorbell._branches = store.doorbell._branches, []
        await store.promote(now(), 10)
        store.doorbell._branches = bells
    assert [job["id"] for job in asking.reply.json["jobs"]] == [id_]
    assert trio.current_time() - began < 6


async def test_one_job_goes_to_one_of_many_that_wait(api: Api, autojump_clock: object) -> None:
    replies: list[Reply] = []

    async def wait(n: int) -> None:
        replies.append(await ask(api, "claim", worker=f"w/{n}", types=["resize"], wait=10))

    async with trio.open_nursery() as nursery:
        for n in range(50):
            nursery.start_soon(wait, n)
        await trio.sleep(1)
        ids = [await post(api)]
        await trio.sleep(1)
        assert len(replies) == 1
        async with trio.open_nursery() as posting:
            for _ in range(20):
                posting.start_soon(post, api)
        await trio.sleep(1)
        assert len(replies) == 21
        ids = [job["id"] for reply in replies for job in reply.json["jobs"]]
        assert len(set(ids)) == 21
    assert sum(len(reply.json["jobs"]) for reply in replies) == 21


async def test_a_job_for_who_has_left_goes_back_uncharged(api: Api, autojump_clock: object) -> None:
    body = json.dumps({"worker": WORKER, "types": ["resize"], "wait": 30}).encode()
    async with api.asking("POST", "/worker/claim", body, JSON) as asking:
        await trio.sleep(1)
        asking.leave()
        id_ = await post(api)
    if asking.sent and asking.reply.json["jobs"]:  # the framework has not seen that he has left
        pytest.skip("Quart looks after its own clients")
    await trio.sleep(1)
    job = await api.get(f"/jobs/{id_}")
    assert (job["state"], job["attempt"]) == ("queued", 0)


async def test_a_wait_ends_with_nothing_when_the_service_stops(
    api: Api, autojump_clock: object
) -> None:
    body = json.dumps({"worker": WORKER, "types": ["resize"], "wait": 30}).encode()
    began = trio.current_time()
    async with api.asking("POST", "/worker/claim", body, JSON) as asking:
        await trio.sleep(1)
        api.service.drain()
    assert (asking.reply.status, asking.reply.json["jobs"]) == (200, [])
    assert trio.current_time() - began < 2
    refused = await ask(api, "claim", worker=WORKER, types=["resize"], wait=30)
    assert (refused.status, "retry-after" in refused.headers) == (503, True)


async def test_ends_are_accepted_while_the_service_stops(api: Api, autojump_clock: object) -> None:
    await post(api)
    await post(api)
    job = await claim(api)
    api.service.drain()
    end = {"id": job["id"], "lease_token": job["lease_token"], "outcome": "done"}
    told = await said(api, "settle", jobs=[end], claim={"types": ["resize"], "wait": 9})
    assert [one["state"] for one in told["settled"]] == ["done"]
    assert told["jobs"] == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"types": []}, "/types"),
        ({"types": ["a b"]}, "/types/0"),
        ({"types": ["a"], "queues": []}, "/queues"),
        ({"types": ["a"], "queues": ["*"]}, "/queues"),
        ({"types": ["a"], "queues": {"a b": 1}}, "/queues"),
        ({"types": ["a"], "queues": {"a": -1}}, "/queues"),
        ({"types": ["a"], "max": 0}, "/max"),
        ({"types": ["a"], "max": 1001}, "/max"),
        ({"types": ["a"], "lease": 9.9}, "/lease"),
        ({"types": ["a"], "lease": 43_201}, "/lease"),
        ({"types": ["a"], "wait": -1}, "/wait"),
        ({"types": ["a"], "worker": "process-1"}, "/worker"),
        ({"types": ["a"], "worker": ""}, "/worker"),
        ({"types": ["a"], "typ": 1}, ""),
    ],
)
async def test_a_claim_that_makes_no_sense_is_refused(
    api: Api, autojump_clock: object, body: dict[str, Any], pointer: str
) -> None:
    reply = await ask(api, "claim", **{"worker": WORKER, **body})
    assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, pointer)


async def test_what_is_no_json_is_refused_as_everywhere(api: Api, autojump_clock: object) -> None:
    reply = await api.ask("POST", "/worker/claim", b"{", JSON)
    assert (reply.status, reply.json["type"]) == (400, "/problems/malformed")
    assert (await api.ask("POST", "/worker/claim", b"{}")).status == 415
    assert (await api.ask("POST", "/worker/claim?x=1", b"{}", JSON)).status == 400


# ── heartbeat ─────────────────────────────────────────────────────────────────────────────────


async def test_a_heartbeat_keeps_a_job_and_its_silence_loses_it(
    api: Api, autojump_clock: object
) -> None:
    id_ = await post(api)
    job = await claim(api, lease=20)
    for _ in range(3):
        await trio.sleep(15)
        assert await beat(api, job) == {
            "id": id_, "ok": True, "lease_seconds": 20, "cancel": None,
        }  # fmt: skip
    await trio.sleep(21)
    await api.store.rescue(now(), 10)
    assert await beat(api, job) == {"id": id_, "ok": False, "problem": "lease-lost"}
    shown = await api.get(f"/jobs/{id_}")
    assert (shown["state"], shown["reason"], shown["attempt"]) == ("queued", "lease_lost", 0)


async def test_what_a_job_says_is_kept_without_its_secrets(
    api: Api, autojump_clock: object
) -> None:
    id_ = await post(api)
    job = await claim(api)
    await beat(
        api,
        job,
        progress={"done": 1, "total": 4, "note": "password=hunter22"},
        logs=["one", {"level": "WARNING", "message": "token=abcdefgh"}],
        save={"at": 1},
    )
    assert (await api.get(f"/jobs/{id_}"))["progress"] == {
        "done": 1, "total": 4, "note": "password=[redacted]",
    }  # fmt: skip
    lines = (await api.get(f"/jobs/{id_}/logs"))["lines"]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("INFO", "one"), ("WARNING", "token=[redacted]"),
    ]  # fmt: skip
    await settle(api, job, "release")
    assert (await claim(api))["saved"] == {"at": 1}


async def test_nobody_fills_the_disk_with_log_lines(api: Api, autojump_clock: object) -> None:
    id_ = await post(api)
    job = await claim(api)
    for _ in range(3):
        await beat(api, job, logs=[f"line {n}" for n in range(600)])
    lines = []
    while page := (await api.get(f"/jobs/{id_}/logs?after={len(lines)}"))["lines"]:
        lines += page
    assert len(lines) == 1_000
    assert lines[-1]["message"] == "… 201 more lines, not kept"


async def test_a_cancelled_job_is_told_so_and_its_lease_goes_on_no_longer(
    api: Api, autojump_clock: object
) -> None:
    id_ = await post(api)
    job = await claim(api, lease=30)
    await trio.sleep(10)
    await api.ask("POST", f"/jobs/{id_}/cancel")
    told = await beat(api, job)
    assert (told["ok"], told["cancel"], told["lease_seconds"]) == (True, "cancelled", 20)
    assert (await settle(api, job, "cancelled"))["state"] == "cancelled"
    shown = await api.get(f"/jobs/{id_}")
    assert (shown["state"], shown["reason"]) == ("cancelled", "cancelled")


async def test_a_worker_that_does_not_hear_loses_the_job_with_its_lease(
    api: Api, autojump_clock: object
) -> None:
    id_ = await post(api)
    job = await claim(api, lease=30)
    await api.ask("POST", f"/jobs/{id_}/cancel")
    for _ in range(4):
        await trio.sleep(9)
        await beat(api, job)
    await api.store.rescue(now(), 10)
    assert (await beat(api, job))["ok"] is False
    assert (await api.get(f"/jobs/{id_}"))["state"] == "cancelled"


@pytest.mark.parametrize(
    ("options", "why", "state", "reason"),
    [
        ({"timeout": 5}, "timeout", "scheduled", "timeout"),
        ({}, None, "done", None),
        ({"deadline": 5}, "deadline", "cancelled", "deadline"),
        ({"timeout": 4, "deadline": 5, "max_attempts": 1}, "deadline", "cancelled", "deadline"),
        ({"timeout": 5, "max_attempts": 1}, "timeout", "failed", "timeout"),
    ],
)
async def test_an_attempt_that_takes_too_long_is_told_why(
    api: Api,
    autojump_clock: object,
    options: dict[str, Any],
    why: str | None,
    state: str,
    reason: str | None,
) -> None:
    id_ = await post(api, **options)
    job = await claim(api)
    assert (
        job["deadline_seconds"] == min(options.values(), default=100) or "max_attempts" in options
    )
    await trio.sleep(6)
    assert (await beat(api, job))["cancel"] == why
    ended = await settle(api, job, "cancelled" if why else "done")
    assert ended["state"] == state
    assert (await api.get(f"/jobs/{id_}"))["reason"] == reason


# ── settle ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("outcome", "more", "state", "attempt"),
    [
        ("done", {}, "done", 1),
        ("done", {"output": {"a": [1, "é"]}}, "done", 1),
        ("done", {"result": "AAE=", "content_type": "image/png"}, "done", 1),
        ("fail", {"error": {"type": "IOError", "message": "full"}}, "scheduled", 1),
        ("fail", {"error": "just so", "after": 30}, "scheduled", 1),
        ("fail", {"retry": False}, "failed", 1),
        ("release", {}, "queued", 0),
        ("snooze", {"after": 60}, "scheduled", 0),
        ("cancelled", {}, "cancelled", 1),
    ],
)
async def test_each_outcome_is_judged_as_our_own_and_may_be_said_twice(
    api: Api, autojump_clock: object, outcome: str, more: dict[str, Any], state: str, attempt: int
) -> None:
    id_ = await post(api)
    job = await claim(api)
    for _ in range(2):
        assert await settle(api, job, outcome, **more) == {"id": id_, "ok": True, "state": state}
    other = "release" if outcome == "done" else "done"
    assert await settle(api, job, other) == {"id": id_, "ok": False, "problem": "lease-lost"}
    shown = await api.get(f"/jobs/{id_}")
    assert (shown["state"], shown["attempt"]) == (state, attempt)
    if "output" in more:
        assert shown["output"] == more["output"]
    if "result" in more:
        result = await api.ask("GET", f"/jobs/{id_}/result")
        assert (result.body, result.headers["content-type"]) == (b"\x00\x01", "image/png")


async def test_the_error_of_a_failed_attempt_is_kept_without_its_secrets(
    api: Api, autojump_clock: object
) -> None:
    id_ = await post(api, max_attempts=1)
    job = await claim(api)
    error = {"type": "E", "message": "secret=abcdef " + "x" * 9_000, "traceback": "at line 7"}
    assert (await settle(api, job, "fail", error=error))["state"] == "failed"
    shown = (await api.get(f"/jobs/{id_}"))["error"]
    assert (shown["type"], shown["traceback"]) == ("E", "at line 7")
    assert shown["message"].startswith("secret=[redacted]")
    assert len(shown["message"]) < 5_000


async def test_the_jobs_own_backoff_counts(api: Api, autojump_clock: object) -> None:
    id_ = await post(api, backoff=[77])
    await settle(api, await claim(api), "fail")
    shown = await api.get(f"/jobs/{id_}")
    assert shown["state"] == "scheduled"
    waits = [(await api.get(f"/jobs/{id_}"))["run_at"], shown["updated_at"]]
    assert waits[0] > waits[1]
    await api.ask("POST", f"/jobs/{id_}/run-now")
    await settle(api, await claim(api), "fail", after=5)


async def test_a_result_that_is_too_large_fails_the_job_for_good(
    api: Api,
    autojump_clock: object,
) -> None:
    id_ = await post(api)
    job = await claim(api)
    ended = await settle(api, job, "done", output="x" * 1_000_001)
    assert ended["state"] == "failed"
    assert (await api.get(f"/jobs/{id_}"))["error"]["type"] == "ResultTooLarge"


async def test_a_late_worker_cannot_finish_a_job_it_lost(api: Api, autojump_clock: object) -> None:
    id_ = await post(api)
    late = await claim(api, lease=10)
    await trio.sleep(11)
    await api.store.rescue(now(), 10)
    job = await claim(api)
    assert (await settle(api, late, "done"))["problem"] == "lease-lost"
    assert (await settle(api, job, "done"))["state"] == "done"
    assert (await settle(api, late, "done"))["ok"] is False
    assert id_ == job["id"]


async def test_a_cancel_wins_over_a_retry_and_the_answer_says_so(
    api: Api, autojump_clock: object
) -> None:
    id_ = await post(api)
    job = await claim(api)
    await api.ask("POST", f"/jobs/{id_}/cancel")
    for _ in range(2):
        assert (await settle(api, job, "fail"))["state"] == "cancelled"


async def test_an_end_may_bring_last_words(api: Api, autojump_clock: object) -> None:
    id_ = await post(api)
    await settle(api, await claim(api), "done", logs=["bye"], progress={"done": 1})
    assert [line["message"] for line in (await api.get(f"/jobs/{id_}/logs"))["lines"]] == ["bye"]
    assert (await api.get(f"/jobs/{id_}"))["progress"]["done"] == 1


async def test_a_busy_worker_makes_one_call_a_round(api: Api, autojump_clock: object) -> None:
    ids = [await post(api) for _ in range(3)]
    jobs = [await claim(api)]
    done: list[str] = []
    while jobs:
        ends = [
            {"id": job["id"], "lease_token": job["lease_token"], "outcome": "done"} for job in jobs
        ]
        told = await said(api, "settle", jobs=ends, claim={"types": ["resize"], "wait": 2})
        done += [one["id"] for one in told["settled"] if one["ok"]]
        jobs = told["jobs"]
    assert done == ids


async def test_what_ends_makes_room_in_a_limited_queue(api: Api, autojump_clock: object) -> None:
    await api.ask("PATCH", "/queues/default", b'{"limit": 1}', JSON)
    first, second = await post(api), await post(api)
    job = await claim(api, max=5)
    assert job["id"] == first
    end = {"id": first, "lease_token": job["lease_token"], "outcome": "done"}
    told = await said(api, "settle", jobs=[end], claim={"types": ["resize"], "wait": 5})
    assert [job["id"] for job in told["jobs"]] == [second]


@pytest.mark.parametrize(
    ("end", "status", "pointer"),
    [
        ({"outcome": "lost"}, 422, "/jobs/0/outcome"),
        ({"outcome": "snooze"}, 422, "/jobs/0/after"),
        ({"outcome": "release", "after": 3}, 422, "/jobs/0/after"),
        ({"outcome": "fail", "after": -3}, 422, "/jobs/0/after"),
        ({"outcome": "fail", "output": 3}, 422, "/jobs/0/outcome"),
        ({"outcome": "done", "output": 3, "result": "AA=="}, 422, "/jobs/0/result"),
        ({"outcome": "done", "result": "?"}, 422, "/jobs/0/result"),
        (
            {"outcome": "done", "result": "AA==", "content_type": "a\nb"},
            422,
            "/jobs/0/content_type",
        ),
        ({"outcome": "done", "save": "x" * 256_001}, 422, "/jobs/0/save"),
        ({"outcome": "done", "result": "ew==", "content_type": "application/json"}, 400, None),
        ({"outcome": "done", "lease_token": "x"}, 400, None),
        ({"outcome": "done", "id": "x"}, 400, None),
    ],
)
async def test_an_end_that_makes_no_sense_ends_nothing(
    api: Api, autojump_clock: object, end: dict[str, Any], status: int, pointer: str | None
) -> None:
    id_ = await post(api)
    job = await claim(api)
    given = {"id": job["id"], "lease_token": job["lease_token"], **end}
    reply = await ask(api, "settle", worker=WORKER, jobs=[given])
    assert reply.status == status, reply.body
    if pointer is not None:
        assert reply.json["errors"][0]["pointer"] == pointer
    assert (await api.get(f"/jobs/{id_}"))["state"] == "running"


async def test_a_job_ends_once_in_a_call(api: Api, autojump_clock: object) -> None:
    await post(api)
    job = await claim(api)
    end = {"id": job["id"], "lease_token": job["lease_token"], "outcome": "done"}
    assert (await ask(api, "settle", worker=WORKER, jobs=[end, end])).status == 422


async def test_jobs_of_workers_elsewhere_are_counted(api: Api, autojump_clock: object) -> None:
    await post(api, "noop")
    job = await claim(api, types=["noop"])
    await trio.sleep(3)
    await settle(api, job, "done")
    await settle(api, job, "done")
    text = (await api.ask("GET", "/metrics")).body.decode()
    assert 'trio_jobs_finished_total{outcome="done",queue="default",type="noop"} 1' in text
    assert 'trio_jobs_run_duration_seconds_sum{type="noop"} 3' in text


# ── types ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_type_is_unknown_until_a_worker_asks_for_it(
    api: Api, autojump_clock: object
) -> None:
    refused = await api.post({"type": "ocr"})
    assert (refused.status, refused.json["type"]) == (422, "/problems/unknown-type")
    assert "resize" in refused.json["detail"], "those of the settings are known"
    await said(api, "claim", types=["ocr"])
    id_ = await post(api, "ocr", input=[1])
    assert (await claim(api, types=["ocr"]))["id"] == id_
    assert "ocr" in (await api.post({"type": "oct"})).json["detail"]


async def test_a_type_that_another_process_has_seen_is_known(
    api: Api, autojump_clock: object, tmp_path: Path
) -> None:
    assert (await api.post({"type": "ocr"})).status == 422
    [file] = tmp_path.glob("*.db")  # noqa: ASYNC240 - a small directory
    store = SqliteStore(file, visitor=True)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        await store.saw([Seen("other/1", now(), ["ocr"])], workers_since=0, types_since=0)
        store.close()
    await trio.sleep(1.1)
    await post(api, "ocr")


async def test_why_knows_of_workers_elsewhere(tmp_path: Path, autojump_clock: object) -> None:
    settings = Settings(remote_types=("resize",), data_dir=str(tmp_path))
    async with opened(tmp_path, "hot", settings, worker=True) as api:
        id_ = await post(api)
        [reason] = (await api.get(f"/jobs/{id_}/why"))["reasons"]
        assert reason["code"] == "no_worker"
        await said(api, "claim", types=["resize"], queues=["other"])
        assert (await api.get(f"/jobs/{id_}/why"))["reasons"] == [reason]
        await settle(api, await claim(api), "release")
        assert (await api.get(f"/jobs/{id_}/why"))["reasons"] == []


@pytest.mark.parametrize("worker", ["", "process-7", "a b"])
@pytest.mark.parametrize("name", ["claim", "heartbeat", "settle"])
async def test_a_worker_has_a_name(
    api: Api, autojump_clock: object, name: str, worker: str
) -> None:
    more = {"types": ["resize"]} if name == "claim" else {"jobs": []}
    reply = await ask(api, name, worker=worker, **more)
    assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, "/worker")
