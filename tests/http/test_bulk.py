"""One wish for many jobs, and the queues they are in."""

import json

import pytest

from .asgi import JSON, NDJSON, Api, opened

LINES = JSON | {"Accept": NDJSON["Content-Type"]}


@pytest.fixture
async def api(tmp_path, autojump_clock):
    async with opened(tmp_path) as api:
        yield api


async def filled(api: Api, count: int, **options: object) -> list[str]:
    """The ids of `count` new jobs."""
    ids: list[str] = []
    while len(ids) < count:
        some = min(1000, count - len(ids))
        reply = await api.post([{"type": "noop", **options}] * some)
        ids += [job["id"] for job in reply.json["jobs"]]
    return ids


async def bulk(api: Api, action: str, **request: object) -> dict:
    reply = await api.ask("POST", f"/jobs/{action}", json.dumps(request).encode(), JSON)
    assert reply.status == 200, reply.body
    return reply.json


async def counts(api: Api, queue: str = "default") -> dict[str, int]:
    queue = await api.get(f"/queues/{queue}")
    return {state: n for state, n in queue["jobs"].items() if n}


async def test_jobs_are_moved_by_id(api: Api, autojump_clock):
    ids = await filled(api, 3)
    unknown = "0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d"
    told = await bulk(api, "cancel", ids=[*ids[:2], ids[0].upper(), unknown])
    assert told == {
        "matched": 3, "done": 2, "skipped": 1, "scanned": 1.0, "finished": True, "dry_run": False,
    }  # fmt: skip
    assert (await bulk(api, "retry", ids=ids))["done"] == 2
    assert (await bulk(api, "delete", ids=ids))["done"] == 0
    assert await counts(api) == {"queued": 3}


async def test_jobs_are_moved_by_filter(api: Api, autojump_clock):
    await filled(api, 1200, tags=["a"])
    await filled(api, 10, tags=["b"], input={"user": {"id": 7}})
    told = await bulk(api, "cancel", filter={"tag": "a", "type": ["noop", "sleep"]})
    assert (told["matched"], told["done"], told["finished"]) == (1200, 1200, True)
    told = await bulk(api, "cancel", filter={"input.user.id": 7, "status": "pending"}, dry_run=True)
    assert (told["matched"], told["done"], told["dry_run"]) == (10, 0, True)
    assert (await bulk(api, "retry", filter={"state": "failed"}))["matched"] == 0
    assert (await bulk(api, "delete", filter={}))["done"] == 1200
    assert await counts(api) == {"queued": 10}


async def test_progress_comes_line_by_line(api: Api, autojump_clock):
    await filled(api, 1200)
    reply = await api.ask("POST", "/jobs/cancel", b'{"filter":{}}', LINES)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/x-ndjson")
    lines = [json.loads(line) for line in reply.body.splitlines()]
    assert len(lines) > 3
    assert [line["finished"] for line in lines].index(True) == len(lines) - 1
    assert lines[-1]["done"] == lines[-1]["matched"] == 1200
    assert [line["done"] for line in lines] == sorted(line["done"] for line in lines)


async def test_a_failure_half_way_is_the_last_line(api: Api, autojump_clock, monkeypatch):
    await filled(api, 600)

    async def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(api.store, "cancel", broken)
    reply = await api.ask("POST", "/jobs/cancel", b'{"filter":{}}', LINES)
    last = json.loads(reply.body.splitlines()[-1])
    assert last["problem"]["status"] == 500
    assert last["problem"]["request_id"] == reply.headers["x-request-id"]
    assert b"secret" not in reply.body


async def test_who_leaves_stops_the_work(api: Api, autojump_clock, monkeypatch):
    await filled(api, 1200)
    cancel = api.store.cancel
    async with api.asking("POST", "/jobs/cancel", b'{"filter":{}}', LINES) as conversation:

        async def cancel_one_slice(*args: object) -> object:
            conversation.leave()
            return await cancel(*args)

        monkeypatch.setattr(api.store, "cancel", cancel_one_slice)
    assert (await counts(api))["queued"] >= 700


@pytest.mark.parametrize(
    ("body", "headers", "status", "pointer"),
    [
        (b"{}", JSON, 422, ""),
        (b'{"ids":[],"filter":{}}', JSON, 422, ""),
        (b'{"ids":["x"]}', JSON, 422, "/ids/0"),
        (b'{"ids":[1]}', JSON, 422, "/ids"),
        (b'{"ids":[],"dryrun":true}', JSON, 422, ""),
        (b'{"filter":{"staet":"done"}}', JSON, 422, "/filter/staet"),
        (b'{"filter":{"state":"nope"}}', JSON, 422, "/filter/state"),
        (b'{"filter":{"state":[]}}', JSON, 422, "/filter/state"),
        (b'{"filter":{"state":[1]}}', JSON, 422, "/filter/state"),
        (b'{"filter":{"status":7}}', JSON, 422, "/filter/status"),
        (b'{"filter":{"error~":["a"]}}', JSON, 422, "/filter/error~0"),
        (b'{"filter":{"created_after":"x"}}', JSON, 422, "/filter/created_after"),
        (b'{"filter":{"input.a\\"b":1}}', JSON, 422, "/filter"),
        (b'{"filter":{"a/b":1}}', JSON, 422, "/filter/a~1b"),
        (b'{"filter":[]}', JSON, 422, "/filter"),
        (b"7", JSON, 422, ""),
        (b"{", JSON, 400, None),
        (b"{}", {}, 415, None),
        (b"{}" + b" " * 1_000_000, JSON, 413, ""),
    ],
)
async def test_a_wish_that_is_not_clear_moves_nothing(
    api: Api, autojump_clock, body, headers, status, pointer
):
    for action in ("cancel", "retry", "delete"):
        reply = await api.ask("POST", f"/jobs/{action}", body, headers | {"Accept": "*/*"})
        assert reply.status == status
        if pointer is not None:
            assert reply.json["errors"][0]["pointer"].startswith(pointer)


async def test_a_paused_queue_says_so(api: Api, autojump_clock):
    await filled(api, 2, queue="media:1")
    paused = await api.ask("POST", "/queues/media:1/pause")
    assert (paused.status, paused.json["paused"]) == (200, True)
    assert paused.json["paused_at"].endswith("Z")
    assert paused.json["jobs"]["queued"] == 2
    [queue] = (await api.get("/queues"))["queues"]
    assert (queue["name"], queue["paused"]) == ("media:1", True)
    assert queue["latency"] >= 0
    assert (await api.ask("POST", "/queues/media:1/resume")).json["paused"] is False


async def test_a_purge_cancels_what_waits_in_one_queue(api: Api, autojump_clock):
    await filled(api, 3, queue="a")
    await filled(api, 2, queue="a", delay=100)
    await filled(api, 1, queue="b")
    reply = await api.ask("POST", "/queues/a/purge")
    assert (reply.json["done"], reply.json["finished"]) == (5, True)
    assert await counts(api, "a") == {"cancelled": 5}
    assert await counts(api, "b") == {"queued": 1}
    lines = await api.ask("POST", "/queues/b/purge", headers=LINES)
    assert json.loads(lines.body.splitlines()[-1])["done"] == 1


async def test_a_queue_exists_by_being_named(api: Api, autojump_clock):
    assert await counts(api, "nobody") == {}
    for method, path in (("GET", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/purge")):
        reply = await api.ask(method, "/queues/a b" + path)
        assert (reply.status, reply.json["type"]) == (422, "/problems/invalid")
