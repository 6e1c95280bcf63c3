"""Tokens: who may ask for what, who gets which 401, and how often."""

import json
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from trio_jobs.config import Settings
from trio_jobs.http.call import Route
from trio_jobs.http.routes import ROUTES
from trio_jobs.service import Scope

from .asgi import JSON, NDJSON, Api, Reply, opened

NOWHERE = "01890000-0000-7000-8000-000000000000"
NOOP = b'{"type":"noop"}'


@pytest.fixture
async def api(tmp_path: Path, autojump_clock: object) -> AsyncIterator[Api]:
    settings = Settings(auth="required", data_dir=str(tmp_path / "data"))
    async with opened(tmp_path, settings=settings) as api:
        yield api


async def bearer(api: Api, *scopes: str, **limits: Any) -> dict[str, str]:
    """The header of a new token."""
    _, secret = await api.service.tokens.create("test", scopes, **limits)
    return {"Authorization": f"Bearer {secret}"}


def where(route: Route) -> str:
    return route.path.format(id=NOWHERE, name="default", slug="invalid")


# ── who may ask for what ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scope", [*Scope, None])
async def test_a_token_is_good_for_the_calls_of_its_scope_and_no_others(
    api: Api, scope: Scope | None
) -> None:
    """The whole matrix; streams that would never end are asked with HEAD."""
    token = {} if scope is None else await bearer(api, scope)
    for route in ROUTES:
        method = "HEAD" if "events" in route.path else route.method
        reply = await api.ask(method, where(route), b"", token)
        if route.scope is None:
            expected = reply.status not in (401, 403)
        elif scope is None:
            expected = reply.status == 401
        elif scope in (route.scope, Scope.ADMIN):
            expected = reply.status not in (401, 403)
        else:
            expected = reply.status == 403
            challenge = reply.headers["www-authenticate"]
            assert challenge == f'Bearer error="insufficient_scope", scope="{route.scope}"'
        assert expected, (route.method, route.path, scope, reply.status)


async def test_the_hot_calls_are_guarded_too(api: Api) -> None:
    reader, writer = await bearer(api, "jobs:read"), await bearer(api, "jobs:write")
    for headers in (JSON, NDJSON):
        assert (await api.ask("POST", "/jobs", NOOP, headers)).status == 401
        assert (await api.ask("POST", "/jobs", NOOP, headers | reader)).status == 403
        assert (await api.ask("POST", "/jobs", NOOP, headers | writer)).status in (200, 201)
    id_ = (await api.ask("POST", "/jobs", NOOP, JSON | writer)).json["id"]
    assert (await api.ask("GET", f"/jobs/{id_}")).status == 401
    assert (await api.ask("GET", f"/jobs/{id_}", b"", writer)).status == 403
    assert (await api.ask("GET", f"/jobs/{id_}", b"", reader)).status == 200


async def test_what_is_not_there_is_not_told_to_who_has_no_token(api: Api) -> None:
    assert (await api.ask("GET", "/nothing")).status == 401
    assert (await api.ask("GET", "/jobs/../../x")).status == 401
    assert (await api.ask("GET", "/nothing", b"", await bearer(api, "jobs:read"))).status == 404


async def test_a_service_of_this_machine_needs_none_but_heeds_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as api:
        assert (await api.ask("GET", "/jobs")).status == 200
        assert (await api.ask("GET", "/jobs", b"", {"Authorization": "Bearer tj_x"})).status == 401
        writer = await bearer(api, "jobs:write")
        assert (await api.ask("GET", "/jobs", b"", writer)).status == 403


# ── the same 401 for everybody ────────────────────────────────────────────────────────────────


async def test_every_bad_token_gets_the_same_answer(api: Api, autojump_clock: object) -> None:
    good = await bearer(api, "admin")
    expired = await bearer(api, "admin", expires_in=10)
    token, secret = await api.service.tokens.create("gone", ["admin"])
    await api.service.tokens.revoke(token.id)
    await trio.sleep(11)
    given = [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer tj_"},
        {"Authorization": good["Authorization"] + "x"},
        {"Authorization": good["Authorization"][:-1]},
        {"Authorization": good["Authorization"].replace("Bearer", "Basic")},
        {"Authorization": f"Bearer {secret}"},
        {"Authorization": "Bearer " + "x" * 10_000},
        expired,
    ]
    replies = [await api.ask("GET", "/jobs", b"", {"X-Request-ID": "r", **one}) for one in given]
    assert {reply.status for reply in replies} == {401}
    assert len({reply.body for reply in replies}) == 1
    assert len({tuple(sorted(reply.headers.items())) for reply in replies}) == 1
    assert replies[0].headers["www-authenticate"] == 'Bearer realm="trio_jobs"'
    assert (await api.ask("GET", "/jobs", b"", good)).status == 200
    assert (await api.ask("GET", "/jobs", b"", {k: v.lower()[:6] + v[6:] for k, v in good.items()})
            ).status == 200  # fmt: skip


async def test_how_near_a_guess_comes_cannot_be_measured(api: Api) -> None:
    _, secret = await api.service.tokens.create("test", ["admin"])
    guesses = {"far": "tj_" + "0" * 43, "near": secret[:-1] + ("a" if secret[-1] != "a" else "b")}
    times: dict[str, list[float]] = {name: [] for name in guesses}
    for _ in range(2_000):
        for name, guess in guesses.items():
            start = time.perf_counter()
            assert await api.service.tokens.recognise(guess) is None
            times[name].append(time.perf_counter() - start)
    far, near = (statistics.median(values) for values in times.values())
    assert 0.5 < far / near < 2


async def test_a_token_is_nowhere_but_in_the_answer_to_who_made_it(
    api: Api, tmp_path: Path
) -> None:
    admin = await bearer(api, "admin")
    wish = {"name": "ci", "scopes": ["jobs:read"], "queues": ["a"], "expires_in": 60}
    made = await api.ask("POST", "/tokens", json.dumps(wish).encode(), JSON | admin)
    assert made.status == 201
    secret = made.json["token"]
    assert made.headers["location"] == f"/tokens/{made.json['id']}"
    listed = await api.ask("GET", "/tokens", b"", admin)
    shown = next(one for one in listed.json["tokens"] if one["id"] == made.json["id"])
    assert shown == {k: v for k, v in made.json.items() if k != "token"}
    kept = (tmp_path / "hot.db").read_bytes() + (tmp_path / "hot.db-wal").read_bytes()
    assert shown["id"].encode() in kept
    assert secret.encode() not in kept
    assert (await api.ask("DELETE", f"/tokens/{shown['id']}", b"", admin)).status == 204
    assert (await api.ask("DELETE", f"/tokens/{shown['id']}", b"", admin)).status == 404
    again = await api.ask("GET", "/jobs", b"", {"Authorization": f"Bearer {secret}"})
    assert again.status == 401


async def test_a_token_revoked_elsewhere_is_good_for_a_second_at_most(
    api: Api, autojump_clock: object
) -> None:
    token, secret = await api.service.tokens.create("test", ["admin"])
    header = {"Authorization": f"Bearer {secret}"}
    assert (await api.ask("GET", "/jobs", b"", header)).status == 200
    await api.store.remove_token(token.id)
    await trio.sleep(1.01)
    assert (await api.ask("GET", "/jobs", b"", header)).status == 401


@pytest.mark.parametrize(
    ("wish", "pointer"),
    [
        ({"name": "a b", "scopes": ["admin"]}, "/name"),
        ({"name": "a", "scopes": []}, "/scopes"),
        ({"name": "a", "scopes": ["jobs:reed"]}, "/scopes/0"),
        ({"name": "a", "scopes": ["admin"], "types": []}, "/types"),
        ({"name": "a", "scopes": ["admin"], "queues": ["x", "\n"]}, "/queues/1"),
        ({"name": "a", "scopes": ["admin"], "expires_in": 0}, "/expires_in"),
        ({"name": "a"}, ""),
    ],
)
async def test_a_token_that_makes_no_sense_is_not_made(
    api: Api, wish: dict[str, Any], pointer: str
) -> None:
    admin = await bearer(api, "admin")
    reply = await api.ask("POST", "/tokens", json.dumps(wish).encode(), JSON | admin)
    assert reply.status == 422
    assert reply.json["errors"][0]["pointer"] == pointer


# ── only some of the jobs ─────────────────────────────────────────────────────────────────────


async def some_jobs(api: Api) -> tuple[str, str]:
    """A job that a token limited to noop in the queue `a` may see, and one that it may not."""
    admin = await bearer(api, "admin")
    ids = []
    for job in ({"type": "noop", "queue": "a"}, {"type": "noop", "queue": "b"}):
        reply = await api.ask("POST", "/jobs", json.dumps(job).encode(), JSON | admin)
        ids.append(reply.json["id"])
    return ids[0], ids[1]


async def limited(api: Api, *scopes: str) -> dict[str, str]:
    return await bearer(api, *scopes, types=["noop"], queues=["a"])


async def test_other_jobs_are_not_there(api: Api) -> None:
    mine, other = await some_jobs(api)
    token = await limited(api, "jobs:read", "jobs:write")

    async def ask(method: str, path: str, body: object = None) -> Reply:
        content = b"" if body is None else json.dumps(body).encode()
        return await api.ask(method, path, content, JSON | token)

    assert [job["id"] for job in (await ask("GET", "/jobs")).json["jobs"]] == [mine]
    assert (await ask("GET", "/jobs?queue=b")).json["jobs"] == []
    assert (await ask("GET", "/queues")).status == 403  # they count all types
    by_queue = await bearer(api, "jobs:read", queues=["a"])
    queues = (await api.ask("GET", "/queues", b"", by_queue)).json["queues"]
    assert [queue["name"] for queue in queues] == ["a"]
    assert (await api.ask("GET", "/queues/b", b"", by_queue)).status == 403
    for part in ("", "/why", "/attempts", "/logs", "/payload", "/result", "/events"):
        assert (await ask("GET", f"/jobs/{other}{part}")).status == 404
    for move in ("cancel", "retry", "run-now", "snooze?seconds=1"):
        assert (await ask("POST", f"/jobs/{other}/{move}")).status == 404
    assert (await ask("PATCH", f"/jobs/{other}", {"priority": 1})).status == 404
    assert (await ask("DELETE", f"/jobs/{other}")).status == 404
    assert (await ask("PATCH", f"/jobs/{mine}", {"queue": "b"})).status == 403
    assert (await ask("POST", "/jobs/cancel", {"ids": [other]})).json["done"] == 0
    assert (await ask("POST", "/jobs/cancel", {"filter": {}})).json["matched"] == 1
    admin = await bearer(api, "admin")
    states = [
        (await api.ask("GET", f"/jobs/{id_}", b"", admin)).json["state"] for id_ in (mine, other)
    ]
    assert states == ["cancelled", "queued"]


async def test_other_jobs_cannot_be_made(api: Api) -> None:
    token = await limited(api, "jobs:write")

    async def post(job: object) -> int:
        return (await api.ask("POST", "/jobs", json.dumps(job).encode(), JSON | token)).status

    assert await post({"type": "noop", "queue": "a"}) == 201
    assert await post({"type": "noop"}) == 403
    assert await post({"type": "sleep", "queue": "a", "input": {"seconds": 0}}) == 403
    assert await post([{"type": "noop", "queue": "a"}, {"type": "noop"}]) == 403
    lines = b'{"type":"noop","queue":"a"}\n{"type":"noop"}\n'
    reply = await api.ask("POST", "/jobs", lines, NDJSON | token)
    assert (reply.json["created"], reply.json["failed"]) == (1, 1)


async def test_other_jobs_are_not_told_of(api: Api) -> None:
    token = await limited(api, "jobs:read")
    async with api.asking("GET", "/events?after=0", b"", token) as conversation:
        mine, _ = await some_jobs(api)
        last = (await some_jobs(api))[0]
        events = [await conversation.event(), await conversation.event()]
        conversation.leave()
    assert [event.data["id"] for event in events] == [mine, last]


async def test_a_limited_token_steers_no_queue_that_others_use(api: Api) -> None:
    by_type = await bearer(api, "queues:admin", types=["noop"])
    by_queue = await bearer(api, "queues:admin", queues=["a"])
    for token, queue, status in ((by_type, "a", 403), (by_queue, "b", 403), (by_queue, "a", 200)):
        for verb in ("pause", "resume", "purge"):
            reply = await api.ask("POST", f"/queues/{queue}/{verb}", b"", token)
            assert reply.status == status


async def test_two_tokens_may_use_one_idempotency_key(api: Api) -> None:
    mine, other = await bearer(api, "jobs:write"), await bearer(api, "jobs:write")
    key = {"Idempotency-Key": "k"}
    first = await api.ask("POST", "/jobs", NOOP, JSON | mine | key)
    again = await api.ask("POST", "/jobs", NOOP, JSON | mine | key)
    theirs = await api.ask("POST", "/jobs", NOOP, JSON | other | key)
    assert again.json["id"] == first.json["id"] != theirs.json["id"]


async def test_a_limited_token_replaces_no_job_that_may_be_anothers(api: Api) -> None:
    admin, token = await bearer(api, "admin"), await limited(api, "jobs:write")
    job = {"type": "noop", "queue": "b", "unique_key": "k", "delay": 9}
    made = await api.ask("POST", "/jobs", json.dumps(job).encode(), JSON | admin)
    theirs = {**job, "queue": "a", "on_conflict": "replace", "input": "theirs"}
    reply = await api.ask("POST", "/jobs", json.dumps(theirs).encode(), JSON | token)
    assert reply.status == 409
    assert made.json["id"] not in reply.body.decode()
    kept = await api.ask("GET", f"/jobs/{made.json['id']}", b"", admin)
    assert "theirs" not in kept.body.decode()


async def test_what_is_about_all_jobs_is_for_tokens_that_are(api: Api) -> None:
    token = await limited(api, "jobs:read")
    for path in ("/metrics", "/outbox", "/workers"):
        assert (await api.ask("GET", path, b"", token)).status == 403
        assert (await api.ask("GET", path, b"", await bearer(api, "jobs:read"))).status == 200


async def test_a_unique_key_shows_nobody_a_job_that_is_none_of_his(api: Api) -> None:
    admin, token = await bearer(api, "admin"), await limited(api, "jobs:write")
    job = {"type": "noop", "queue": "b", "unique_key": "k"}
    await api.ask("POST", "/jobs", json.dumps(job).encode(), JSON | admin)
    reply = await api.ask("POST", "/jobs", json.dumps({**job, "queue": "a"}).encode(), JSON | token)
    assert reply.status == 409


async def test_a_limited_admin_makes_no_token_that_may_more(api: Api) -> None:
    token = await bearer(api, "admin", queues=["a"])
    wish = b'{"name":"more","scopes":["admin"]}'
    assert (await api.ask("POST", "/tokens", wish, JSON | token)).status == 403
    assert (await api.ask("GET", "/tokens", b"", token)).status == 403
    assert (await api.ask("DELETE", "/tokens/tok_x", b"", token)).status == 403


async def test_a_key_held_elsewhere_refuses_a_line_or_an_array_and_stores_nothing_twice(
    api: Api,
) -> None:
    admin, token = await bearer(api, "admin"), await limited(api, "jobs:write")
    job = {"type": "noop", "queue": "b", "unique_key": "k"}
    await api.ask("POST", "/jobs", json.dumps(job).encode(), JSON | admin)
    mine = [{"type": "noop", "queue": "a"}] * 3 + [{**job, "queue": "a"}]
    lines = b"\n".join(json.dumps(one).encode() for one in mine)
    report = (await api.ask("POST", "/jobs", lines, NDJSON | token)).json
    assert (report["created"], report["failed"]) == (3, 1)
    refused = await api.ask("POST", "/jobs", json.dumps(mine).encode(), JSON | token)
    assert refused.status == 409
    found = await api.ask("GET", "/jobs?queue=a", b"", admin)
    assert len(found.json["jobs"]) == 3


@pytest.mark.parametrize("scopes", [["jobs:write"], ["jobs:write", "jobs:read"]])
async def test_who_may_not_read_sees_no_input_of_what_others_made(
    api: Api, scopes: list[str]
) -> None:
    admin, writer = await bearer(api, "admin"), await bearer(api, *scopes)
    job = {"type": "noop", "delay": 9, "unique_key": "k", "input": "private"}
    made = (await api.ask("POST", "/jobs", json.dumps(job).encode(), JSON | admin)).json
    again = await api.ask("POST", "/jobs", b'{"type":"noop","unique_key":"k"}', JSON | writer)
    snoozed = await api.ask("POST", f"/jobs/{made['id']}/snooze?seconds=60", b"", writer)
    assert (again.status, snoozed.status) == (200, 200)
    may_read = len(scopes) == 2
    assert ["private" in reply.body.decode() for reply in (again, snoozed)] == [may_read] * 2
    guess = b'{"filter":{"input.a":"x"},"dry_run":true}'
    guessed = await api.ask("POST", "/jobs/cancel", guess, JSON | writer)
    assert guessed.status == (200 if may_read else 403)
    own = await api.ask("POST", "/jobs", b'{"type":"noop","input":"own"}', JSON | writer)
    assert own.json["input"] == "own"


async def test_a_stream_ends_when_its_token_is_revoked(api: Api, autojump_clock: object) -> None:
    token, secret = await api.service.tokens.create("t", ["jobs:read"])
    header = {"Authorization": f"Bearer {secret}"}
    async with api.asking("GET", "/events", b"", header) as conversation:
        await trio.testing.wait_all_tasks_blocked()
        await api.service.tokens.revoke(token.id)
        await some_jobs(api)
        assert (await conversation.event()).name == ""
        conversation.leave()


async def test_a_stream_of_a_job_tells_nothing_more_when_that_goes_elsewhere(
    api: Api, autojump_clock: object
) -> None:
    admin = await bearer(api, "admin")
    token = await bearer(api, "jobs:read", queues=["a"])
    job = b'{"type":"noop","queue":"a","delay":99}'
    id_ = (await api.ask("POST", "/jobs", job, JSON | admin)).json["id"]
    async with api.asking("GET", f"/jobs/{id_}/events", b"", token) as conversation:
        assert (await conversation.event()).name == "job.scheduled"
        await api.ask("PATCH", f"/jobs/{id_}", b'{"queue":"b"}', JSON | admin)
        assert (await conversation.event()).name == "ping"
        assert (await conversation.event()).name == ""
        conversation.leave()


async def test_silence_is_broken_though_others_are_busy(api: Api, autojump_clock: object) -> None:
    token = await bearer(api, "jobs:read", queues=["quiet"])
    async with api.asking("GET", "/events", b"", token) as conversation:
        for _ in range(20):
            await some_jobs(api)
            await trio.sleep(1)
        assert (await conversation.event()).name == "ping"
        conversation.leave()


async def test_an_idempotency_key_of_any_length_may_come_with_a_token(api: Api) -> None:
    writer = await bearer(api, "jobs:write")
    key = JSON | writer | {"Idempotency-Key": "k" * 255}
    ids = [(await api.ask("POST", "/jobs", NOOP, key)).json["id"] for _ in range(2)]
    assert ids[0] == ids[1]


async def test_no_public_path_is_another_401_or_a_redirect(api: Api) -> None:
    bare = await api.ask("GET", "/readyz?verbose")
    assert (bare.status, bare.json["type"]) == (401, "/problems/unauthenticated")
    assert (await api.ask("GET", "/problems//invalid")).status == 404


async def test_looking_at_a_queue_makes_no_label_of_it(api: Api) -> None:
    admin = await bearer(api, "admin")
    for n in range(105):
        await api.ask("GET", f"/queues/made-up-{n}", b"", admin)
    assert set(api.service.metrics.queues) == {"default"}


# ── how often ─────────────────────────────────────────────────────────────────────────────────


async def test_who_asks_too_often_is_told_when_to_come_back(tmp_path: Path, autojump_clock: object):
    settings = Settings(auth="required", rate_limit=2.0, data_dir=str(tmp_path / "data"))
    async with opened(tmp_path, settings=settings) as api:
        busy, calm = await bearer(api, "admin"), await bearer(api, "admin")
        replies = [await api.ask("GET", "/jobs", b"", busy) for _ in range(6)]
        assert [reply.status for reply in replies] == [200] * 4 + [429] * 2
        assert replies[-1].headers["retry-after"] == "1"
        assert replies[-1].json["type"] == "/problems/too-many-requests"
        assert (await api.ask("GET", "/jobs", b"", calm)).status == 200
        assert (await api.ask("GET", "/livez", b"", busy)).status == 200
        await trio.sleep(1)
        again = [(await api.ask("GET", "/jobs", b"", busy)).status for _ in range(3)]
        assert again == [200, 200, 429]


# ── how many ──────────────────────────────────────────────────────────────────────────────────


async def test_a_full_queue_takes_no_more_until_there_is_room(
    tmp_path: Path, autojump_clock: object
) -> None:
    settings = Settings(max_queued=3, data_dir=str(tmp_path / "data"))
    async with opened(tmp_path, settings=settings) as api:
        ids = [(await api.post({"type": "noop"})).json["id"] for _ in range(3)]
        full = await api.post({"type": "noop"})
        assert (full.status, full.headers["retry-after"]) == (503, "1")
        assert full.json["type"] == "/problems/queue-full"
        assert "default" in full.json["detail"]
        assert (await api.post([{"type": "noop", "queue": "b"}] * 4)).status == 503
        assert (await api.post([{"type": "noop", "queue": "b"}] * 3)).status == 201
        assert (await api.post({"type": "nope"})).status == 422
        await api.ask("POST", f"/jobs/{ids[0]}/cancel")
        await trio.sleep(0.3)
        assert (await api.post({"type": "noop"})).status == 201
        assert (await api.post({"type": "noop"})).status == 503
