"""A request that comes twice makes one job: by its Idempotency-Key, or by the job's unique key."""

import pytest

from trio_jobs.http.idempotency import fingerprint, parse_key

from .asgi import JSON, Api, opened

NOOP = b'{"type":"noop","input":{"n":1}}'


def keyed(key: str) -> dict[str, str]:
    return JSON | {"Idempotency-Key": key}


@pytest.fixture(params=("hot", "quart"))
async def api(request, tmp_path, autojump_clock):
    async with opened(tmp_path, request.param) as api:
        yield api


async def test_the_same_request_under_one_key_makes_one_job(api: Api):
    first = await api.ask("POST", "/jobs", NOOP, keyed("k"))
    again = await api.ask("POST", "/jobs", NOOP, keyed('"k"'))
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (first.status, again.status) == (201, 201)
    assert again.headers["location"] == first.headers["location"]
    assert again.json == first.json
    assert len((await api.get("/jobs"))["jobs"]) == 1


async def test_a_replay_shows_the_job_as_it_is_by_then(api: Api):
    first = await api.ask("POST", "/jobs", NOOP, keyed("k"))
    await api.ask("POST", first.headers["location"] + "/cancel")
    assert (await api.ask("POST", "/jobs", NOOP, keyed("k"))).json["state"] == "cancelled"


async def test_an_array_is_replayed_whole(api: Api):
    body = b"[" + NOOP + b"," + NOOP + b"]"
    first = await api.ask("POST", "/jobs", body, keyed("k"))
    again = await api.ask("POST", "/jobs", body, keyed("k"))
    assert again.headers["idempotent-replayed"] == "true"
    assert [job["id"] for job in again.json["jobs"]] == [job["id"] for job in first.json["jobs"]]


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/jobs", NOOP + b" ", keyed("k")),
        ("/jobs?wait=0", NOOP, keyed("k")),
        ("/jobs", NOOP, keyed("k") | {"Content-Type": "application/json; charset=utf-8"}),
    ],
)
async def test_another_request_under_the_same_key_is_refused(api: Api, path, body, headers):
    await api.ask("POST", "/jobs", NOOP, keyed("k"))
    reply = await api.ask("POST", path, body, headers)
    assert reply.status == 422
    assert reply.json["type"] == "/problems/key-reused"
    assert len((await api.get("/jobs"))["jobs"]) == 1


async def test_what_was_refused_leaves_its_key_free(api: Api):
    bad = await api.ask("POST", "/jobs", b'{"type":"nope"}', keyed("k"))
    assert bad.status == 422
    assert (await api.ask("POST", "/jobs", NOOP, keyed("k"))).status == 201


async def test_a_unique_key_that_is_held_answers_with_its_job(api: Api):
    wish = {"type": "noop", "input": 1, "unique_key": "nightly"}
    first = await api.post(wish)
    assert "deduplicated" not in first.json
    hit = await api.post({**wish, "input": 2})
    assert hit.status == 200
    assert hit.json == first.json | {"deduplicated": True}
    minimal = await api.ask(
        "POST",
        "/jobs",
        b'{"type":"noop","unique_key":"nightly"}',
        JSON | {"Prefer": "return=minimal"},
    )
    assert minimal.json == {"id": first.json["id"], "status": "pending", "deduplicated": True}
    rejected = await api.post({**wish, "on_conflict": "reject"})
    assert (rejected.status, rejected.json["type"]) == (409, "/problems/conflict")
    replaced = await api.post({**wish, "input": 3, "on_conflict": "replace"})
    assert replaced.status == 200
    assert (replaced.json["id"], replaced.json["input"]) == (first.json["id"], 3)


async def test_an_array_says_which_of_its_jobs_were_there(api: Api):
    await api.post({"type": "noop", "unique_key": "a"})
    reply = await api.post([{"type": "noop", "unique_key": "a"}, {"type": "noop"}])
    assert reply.status == 201
    assert [job.get("deduplicated") for job in reply.json["jobs"]] == [True, None]


def test_a_key_is_the_same_bare_and_in_quotes():
    assert parse_key("k 1") == parse_key(' "k 1" ') == "k 1"
    assert parse_key(r'"a\"b\\c"') == r'a"b\c'


def test_parts_of_a_request_do_not_run_together():
    assert fingerprint("POST", "/a", b"b", "", b"") != fingerprint("POST", "/ab", b"", "", b"")
