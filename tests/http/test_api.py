"""Every request goes through the hot path and through Quart, and must be answered the same."""

import base64
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from trio_jobs.config import Settings
from trio_jobs.errors import Unavailable
from trio_jobs.registry import Ctx, Handler

from .asgi import JSON, Api, Reply, opened

WAYS = ("hot", "quart")
UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
OWN_REQUEST_ID = re.compile(r"[0-9a-f]{8}-\d+")

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOOP = b'{"type":"noop","input":{"n":1}}'
BIG = b'{"type":"noop","input":"' + b"x" * 300_000 + b'"}'

# what, method, path, body, headers, expected status
CASES: list[tuple[str, str, str, bytes | Sequence[bytes], dict[str, str], int]] = [
    ("a job", "POST", "/jobs", NOOP, JSON, 201),
    ("in pieces", "POST", "/jobs", [NOOP[:5], NOOP[5:9], NOOP[9:]], JSON, 201),
    ("spaces around", "POST", "/jobs", b"  " + NOOP + b"\n", JSON, 201),
    ("charset named", "POST", "/jobs", NOOP,
     {"Content-Type": "application/json; charset=utf-8"}, 201),
    ("json by suffix", "POST", "/jobs", NOOP, {"Content-Type": "application/vnd.x+json"}, 201),
    ("no input", "POST", "/jobs", b'{"type":"noop"}', JSON, 201),
    ("input null", "POST", "/jobs", b'{"type":"noop","input":null}', JSON, 201),
    ("payload as JSON", "POST", "/jobs", b'{"type":"noop","payload":[1,2]}', JSON, 201),
    ("payload as base64", "POST", "/jobs", b'{"type":"noop","payload":"e30="}', JSON, 201),
    ("a delay", "POST", "/jobs", b'{"type":"noop","delay":60}', JSON, 201),
    ("run_at", "POST", "/jobs", b'{"type":"noop","run_at":"2030-01-01T00:00:00+01:00"}', JSON, 201),
    ("all options", "POST", "/jobs",
     b'{"type":"noop","queue":"q:1","priority":-5,"timeout":1.5,"max_attempts":1,"tags":["a","b"]}',
     JSON, 201),
    ("minimal", "POST", "/jobs", NOOP, JSON | {"Prefer": "return=minimal"}, 201),
    ("an array", "POST", "/jobs", b"[" + NOOP + b"," + NOOP + b"]", JSON, 201),
    ("unicode", "POST", "/jobs",
     '{"type":"noop","input":"žluť 🐎 \\ud83d\\udc0e"}'.encode(), JSON, 201),
    ("NUL", "POST", "/jobs", b'{"type":"noop","input":"\\u0000"}', JSON, 400),
    ("NUL spelled out", "POST", "/jobs", b'{"type":"noop","input":"\\\\u0000"}', JSON, 201),
    ("half a surrogate pair", "POST", "/jobs", b'{"type":"noop","input":"\\ud83d"}', JSON, 400),
    ("a member twice", "POST", "/jobs", b'{"type":"noop","input":{"a":1,"a":2}}', JSON, 400),
    ("a member twice, at the top", "POST", "/jobs", b'{"type":"noop","type":"noop"}', JSON, 400),
    ("a member twice, in disguise", "POST", "/jobs",
     b'{"type":"noop","input":{"a" :1,"\\u0061":2}}', JSON, 400),
    ("a member in two objects", "POST", "/jobs",
     b'{"type":"noop","input":[{"a":{"a":1}},{"a":1}]}', JSON, 201),
    ("63 levels below the job", "POST", "/jobs",
     b'{"type":"noop","input":' + b"[" * 63 + b'"[[["' + b"]" * 63 + b"}", JSON, 201),
    ("64 levels below the job", "POST", "/jobs",
     b'{"type":"noop","input":' + b"[" * 64 + b"]" * 64 + b"}", JSON, 400),
    ("wide and flat", "POST", "/jobs",
     b'{"type":"noop","input":[' + b",".join([b'{"a":[]}'] * 100) + b"]}", JSON, 201),
    ("5,000 digits", "POST", "/jobs", b'{"type":"noop","input":' + b"1" * 5_000 + b"}", JSON, 400),
    ("400 digits", "POST", "/jobs", b'{"type":"noop","input":' + b"1" * 400 + b"}", JSON, 400),
    ("all digits of the largest double", "POST", "/jobs",
     b'{"type":"noop","input":-%d}' % int(sys.float_info.max), JSON, 201),
    ("more than a double, in digits", "POST", "/jobs",
     b'{"type":"noop","input":2' + b"0" * 308 + b"}", JSON, 400),
    ("400 digits in a text", "POST", "/jobs",
     b'{"type":"noop","input":"' + b"1" * 400 + b'"}', JSON, 201),
    ("400 digits of a fraction", "POST", "/jobs",
     b'{"type":"noop","input":0.' + b"1" * 400 + b"}", JSON, 201),
    ("more than a double", "POST", "/jobs", b'{"type":"noop","input":-1e999}', JSON, 400),
    ("a large array of inputs", "POST", "/jobs",
     b'{"type":"noop","input":[' + b",".join([b'"x"'] * 30_000) + b"]}", JSON, 201),
    ("a payload with a member twice", "POST", "/jobs",
     json.dumps({"type": "noop", "payload": base64.b64encode(b'{"a":1,"a":2}').decode()}).encode(),
     JSON, 400),
    ("request id kept", "POST", "/jobs", NOOP, JSON | {"X-Request-ID": "mine-1"}, 201),
    ("request id refused", "POST", "/jobs", NOOP, JSON | {"X-Request-ID": "a b"}, 201),
    ("empty array", "POST", "/jobs", b"[]", JSON, 422),
    ("one bad in an array", "POST", "/jobs", b"[" + NOOP + b',{"type":"nope"}]', JSON, 422),
    ("too many", "POST", "/jobs", b"[" + b",".join([b'{"type":"noop"}'] * 1001) + b"]", JSON, 413),
    ("empty body", "POST", "/jobs", b"", JSON, 400),
    ("not JSON", "POST", "/jobs", b"{", JSON, 400),
    ("not UTF-8", "POST", "/jobs", b'{"type":"noop","input":"\xff"}', JSON, 400),
    ("UTF-16", "POST", "/jobs", NOOP.decode().encode("utf-16"), JSON, 400),
    ("NaN", "POST", "/jobs", b'{"type":"noop","input":NaN}', JSON, 400),
    ("deep", "POST", "/jobs", b'{"type":"noop","input":' + b"[" * 100_000, JSON, 400),
    ("a number", "POST", "/jobs", b"7", JSON, 422),
    ("no type", "POST", "/jobs", b'{"input":{}}', JSON, 422),
    ("unknown type", "POST", "/jobs", b'{"type":"send_emial"}', JSON, 422),
    ("unknown member", "POST", "/jobs", b'{"type":"noop","prioritty":1}', JSON, 422),
    ("input and payload", "POST", "/jobs", b'{"type":"noop","input":1,"payload":2}', JSON, 422),
    ("payload not base64", "POST", "/jobs", b'{"type":"noop","payload":"%"}', JSON, 422),
    ("payload not JSON", "POST", "/jobs", b'{"type":"noop","payload":"aGk="}', JSON, 422),
    ("payload nested too deeply", "POST", "/jobs",
     json.dumps({"type": "noop", "payload": base64.b64encode(b"[" * 50_000).decode()}).encode(),
     JSON, 422),
    ("type too long", "POST", "/jobs", b'{"type":"' + b"x" * 900_000 + b'"}', JSON, 422),
    ("input invalid", "POST", "/jobs", b'{"type":"sleep","input":{"seconds":"x"}}', JSON, 422),
    ("priority 101", "POST", "/jobs", b'{"type":"noop","priority":101}', JSON, 422),
    ("delay negative", "POST", "/jobs", b'{"type":"noop","delay":-1}', JSON, 422),
    ("delay huge", "POST", "/jobs", b'{"type":"noop","delay":1e300}', JSON, 422),
    ("delay and run_at", "POST", "/jobs",
     b'{"type":"noop","delay":1,"run_at":"2030-01-01T00:00:00Z"}', JSON, 422),
    ("run_at without offset", "POST", "/jobs",
     b'{"type":"noop","run_at":"2030-01-01T00:00:00"}', JSON, 422),
    ("queue name", "POST", "/jobs", b'{"type":"noop","queue":"a b"}', JSON, 422),
    ("queue name with newline", "POST", "/jobs", b'{"type":"noop","queue":"a\\n"}', JSON, 422),
    ("many tags", "POST", "/jobs",
     json.dumps({"type": "noop", "tags": ["t"] * 17}).encode(), JSON, 422),
    ("payload too large", "POST", "/jobs", BIG, JSON, 413),
    ("body too large", "POST", "/jobs", b" " * 1_000_001, JSON, 413),
    ("body too large in pieces", "POST", "/jobs", [b" " * 400_000] * 4, JSON, 413),
    ("query with JSON", "POST", "/jobs?type=noop", NOOP, JSON, 400),
    ("a deadline", "POST", "/jobs", b'{"type":"noop","deadline":60}', JSON, 201),
    ("a deadline by date", "POST", "/jobs",
     b'{"type":"noop","deadline":"2030-01-01T00:00:00Z"}', JSON, 201),
    ("a deadline that has passed", "POST", "/jobs",
     b'{"type":"noop","deadline":"2020-01-01T00:00:00Z"}', JSON, 422),
    ("a deadline of now", "POST", "/jobs", b'{"type":"noop","deadline":0}', JSON, 422),
    ("a deadline that is none", "POST", "/jobs", b'{"type":"noop","deadline":"soon"}', JSON, 422),
    ("a deadline far away", "POST", "/jobs", b'{"type":"noop","deadline":1e300}', JSON, 422),
    ("a deadline before run_at", "POST", "/jobs",
     b'{"type":"noop","deadline":5,"delay":10}', JSON, 422),
    ("backoff by name", "POST", "/jobs", b'{"type":"noop","backoff":"fixed"}', JSON, 201),
    ("backoff as a list", "POST", "/jobs", b'{"type":"noop","backoff":[1,2.5]}', JSON, 201),
    ("backoff as an object", "POST", "/jobs",
     b'{"type":"noop","backoff":{"kind":"linear","base":3}}', JSON, 201),
    ("backoff unknown", "POST", "/jobs", b'{"type":"noop","backoff":"slowly"}', JSON, 422),
    ("a unique key", "POST", "/jobs",
     b'{"type":"noop","unique_key":"a b","unique_for":60,"on_conflict":"reject"}', JSON, 201),
    ("unique_for alone", "POST", "/jobs", b'{"type":"noop","unique_for":60}', JSON, 422),
    ("an empty unique key", "POST", "/jobs", b'{"type":"noop","unique_key":""}', JSON, 422),
    ("on_conflict unknown", "POST", "/jobs",
     b'{"type":"noop","unique_key":"a","on_conflict":"fight"}', JSON, 422),
    ("one key twice in an array", "POST", "/jobs",
     b'[{"type":"noop","unique_key":"a"},{"type":"noop","unique_key":"a"}]', JSON, 201),
    ("a wait of no time", "POST", "/jobs", b'{"type":"noop","wait":0}', JSON, 201),
    ("a wait in the query", "POST", "/jobs?wait=0", NOOP, JSON, 201),
    ("a wait that is preferred", "POST", "/jobs", NOOP,
     JSON | {"Prefer": "wait=5, return=minimal"}, 201),
    ("a preference that nobody knows", "POST", "/jobs", NOOP,
     JSON | {"Prefer": "x;y, wait=z"}, 201),
    ("a wait below nothing", "POST", "/jobs", b'{"type":"noop","wait":-1}', JSON, 422),
    ("a wait that is no number", "POST", "/jobs?wait=nan", NOOP, JSON, 400),
    ("a wait for an array", "POST", "/jobs?wait=5", b"[" + NOOP + b"]", JSON, 422),
    ("a wait within an array", "POST", "/jobs", b'[{"type":"noop","wait":1}]', JSON, 422),
    ("a key", "POST", "/jobs", NOOP, JSON | {"Idempotency-Key": "abc"}, 201),
    ("a key in quotes", "POST", "/jobs", NOOP, JSON | {"Idempotency-Key": r'"a \" b"'}, 201),
    ("a key too long", "POST", "/jobs", NOOP, JSON | {"Idempotency-Key": "k" * 256}, 400),
    ("a key half in quotes", "POST", "/jobs", NOOP, JSON | {"Idempotency-Key": '"abc'}, 400),
    ("an empty key in quotes", "POST", "/jobs", NOOP, JSON | {"Idempotency-Key": '""'}, 400),
    ("a key that is not ASCII", "POST", "/jobs", NOOP, JSON | {"Idempotency-Key": "\x7fk"}, 400),
    ("form", "POST", "/jobs", NOOP, {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ("no content type", "POST", "/jobs", NOOP, {}, 415),
    ("an upload", "POST", "/jobs?type=process_file&operation=count", b"a\nb", {}, 201),
    ("an upload with all options", "POST",
     "/jobs?type=process_file&operation=count&deadline=60&backoff=[1]&unique_key=a&wait=0",
     b"a", {}, 201),
    ("an upload, wrong backoff", "POST",
     "/jobs?type=process_file&operation=count&backoff=[1", b"a", {}, 422),
    ("an upload that is none", "POST", "/jobs?type=noop", b"x", {}, 422),
    ("an upload, wrong operation", "POST", "/jobs?type=process_file&operation=x", b"x", {}, 422),
    ("parameter twice", "POST", "/jobs?type=noop&type=noop", b"x", {}, 400),
    ("unknown job", "GET", "/jobs/0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d", b"", {}, 404),
    ("no UUID", "GET", "/jobs/7", b"", {}, 400),
    ("no UUID of its length", "GET", "/jobs/" + "x" * 36, b"", {}, 400),
    ("a path as long as a job's", "GET", "/jobs/" + "a" * 17 + "/" + "b" * 18, b"", {}, 404),
    ("unknown parameter", "GET", "/jobs/0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d?x=1", b"", {}, 400),
    ("an unknown job, waited for", "GET",
     "/jobs/0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d?wait=9", b"", {"If-None-Match": '"1"'}, 404),
    ("a wait for a job that is no number", "GET",
     "/jobs/0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d?wait=x", b"", {}, 400),
    ("list", "GET", "/jobs", b"", {}, 200),
    ("list by everything", "GET",
     "/jobs?state=done,failed&status=done&type=a,b&queue=q&tag=t&key=k&error~=e&input.a.b=1",
     b"", {}, 200),
    ("list by time", "GET",
     "/jobs?created_after=2020-01-01T00:00:00Z&created_before=2030-01-01T00:00:00%2B01:00",
     b"", {}, 200),
    ("list, no state", "GET", "/jobs?state=", b"", {}, 422),
    ("list, wrong state", "GET", "/jobs?state=nope", b"", {}, 422),
    ("list, wrong time", "GET", "/jobs?created_after=yesterday", b"", {}, 422),
    ("list, wrong path", "GET", "/jobs?input.a%22b=1", b"", {}, 422),
    ("list, no path", "GET", "/jobs?input.=1", b"", {}, 422),
    ("list, cursor no number", "GET", "/jobs?cursor=x", b"", {}, 400),
    ("list of nothing", "GET", "/jobs?status=failed&type=noop&limit=1", b"", {}, 200),
    ("list, wrong status", "GET", "/jobs?status=nope", b"", {}, 422),
    ("list, wrong limit", "GET", "/jobs?limit=501", b"", {}, 422),
    ("list, limit no number", "GET", "/jobs?limit=x", b"", {}, 400),
    ("list, unknown parameter", "GET", "/jobs?statsu=done", b"", {}, 400),
    ("no such path", "GET", "/nope", b"", {}, 404),
    ("no such method", "PUT", "/jobs", b"", {}, 405),
    ("head", "HEAD", "/jobs", b"", {}, 200),
    ("alive", "GET", "/livez", b"", {}, 200),
    ("ready", "GET", "/readyz", b"", {}, 200),
    ("outbox", "GET", "/outbox", b"", {}, 200),
    ("problem page", "GET", "/problems/invalid", b"", {}, 200),
    ("no such problem", "GET", "/problems/nope", b"", {}, 404),
]  # fmt: skip


def _comparable(reply: Reply) -> tuple[int, dict[str, str], bytes]:
    """Without what is drawn anew each time: job ids, and request ids of our own."""
    headers = dict(reply.headers)
    body = UUID.sub(b"<id>", reply.body)
    if OWN_REQUEST_ID.fullmatch(headers["x-request-id"]):
        body = body.replace(headers["x-request-id"].encode(), b"<request>")
        headers["x-request-id"] = "<request>"
    if "location" in headers:
        headers["location"] = UUID.sub(b"<id>", headers["location"].encode()).decode()
    # Its digits vary with our own request ids.
    headers.pop("content-length", None)
    return reply.status, headers, body


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
async def test_both_ways_answer_the_same(
    tmp_path, autojump_clock, method, path, body, headers, status
):
    replies = []
    for way in WAYS:
        async with opened(tmp_path, way) as api:
            replies.append(await api.ask(method, path, body, headers))
    hot, quart = replies
    assert hot.status == status
    assert _comparable(hot) == _comparable(quart)
    for reply in replies:
        assert int(reply.headers["content-length"]) == len(reply.body) or method == "HEAD"
        assert reply.headers["x-content-type-options"] == "nosniff"
        if status >= 400:
            assert reply.headers["content-type"] == "application/problem+json"
            problem = reply.json
            assert problem["status"] == status
            assert problem["type"].startswith("/problems/")
            assert problem["detail"]
            assert problem["request_id"] == reply.headers["x-request-id"]


@pytest.fixture(params=WAYS)
async def api(request, tmp_path, autojump_clock):
    async with opened(tmp_path, request.param, worker=True) as api:
        yield api


async def test_a_job_posted_is_found_again_done_with_its_result(api: Api, autojump_clock):
    posted = await api.post({"type": "sleep", "input": {"seconds": 5}})
    path = posted.headers["location"]
    assert (await api.ask("GET", path)).json["status"] in ("pending", "running")
    await trio.sleep(6)
    job = (await api.ask("GET", path)).json
    assert job["status"] == job["state"] == "done"
    assert job["output"] == {"slept": 5.0}
    assert json.loads(base64.b64decode(job["result"])) == job["output"]
    assert job["created_at"] < job["finished_at"]
    assert job["version"] == 3


async def test_the_contract_of_the_first_clients_is_kept(api: Api):
    body = {"type": "send_email", "payload": {"to": "test@example.com", "subject": "Hello"}}
    posted = await api.post(body)
    assert posted.status == 201
    job = posted.json
    assert base64.b64decode(job["payload"]) == json.dumps(body["payload"]).encode()
    assert job["status"] == "pending"
    assert job["result"] is None
    assert {"id", "type", "created_at", "updated_at"} <= job.keys()
    assert job["created_at"].endswith("Z")


async def test_an_upload_keeps_its_bytes_and_content_type(api: Api):
    data = bytes(range(256)) * 10
    posted = await api.ask(
        "POST",
        "/jobs?type=process_file&operation=checksum&queue=media&tags=a,b",
        data,
        {"Content-Type": "application/x-thing"},
    )
    job = posted.json
    assert base64.b64decode(job["payload"]) == data
    assert "input" not in job
    assert job["params"] == {"operation": "checksum"}
    assert (job["queue"], job["tags"]) == ("media", ["a", "b"])


async def test_pages_do_not_overlap_while_jobs_arrive(api: Api):
    for number in range(5):
        await api.post({"type": "noop", "input": number})
    first = (await api.ask("GET", "/jobs?limit=2")).json
    await api.post({"type": "noop"})
    second = (await api.ask("GET", f"/jobs?limit=2&cursor={first['next']}")).json
    third = (await api.ask("GET", f"/jobs?limit=2&cursor={second['next']}")).json
    ids = [job["id"] for page in (first, second, third) for job in page["jobs"]]
    assert len(ids) == len(set(ids)) == 5
    assert third["next"] is None
    assert "payload" not in first["jobs"][0]


async def test_a_list_shows_the_bodies_that_it_is_asked_for(api: Api):
    await api.post({"type": "noop", "input": {"n": 1}})
    await api.ask("POST", "/jobs?type=process_file&operation=checksum", b"raw", {})
    upload, job = (await api.ask("GET", "/jobs?include=input,payload")).json["jobs"]
    assert (job["input"], base64.b64decode(job["payload"])) == ({"n": 1}, b'{"n": 1}')
    assert base64.b64decode(upload["payload"]) == b"raw"
    assert "input" not in upload
    assert "result" not in job
    assert (await api.ask("GET", "/jobs?include=inptu")).status == 400
    assert (await api.ask("GET", "/jobs?include=input&limit=51")).status == 422


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (TRACE, TRACE),
        ("", None),
        (TRACE.upper(), None),
        ("ff" + TRACE[2:], None),
        (TRACE + "-x", None),
        ("00-" + "0" * 32 + TRACE[35:], None),
    ],
)
async def test_a_job_keeps_the_trace_it_was_made_in(api: Api, given: str, kept: str | None):
    headers = JSON | {"traceparent": given}
    for body in (b'{"type":"noop"}', b'{"type":"noop","unique_key":"k"}'):
        made = (await api.ask("POST", "/jobs", body, headers)).json
        assert made.get("traceparent") == kept
        assert (await api.get(f"/jobs/{made['id']}")).get("traceparent") == kept


async def test_a_handler_gets_the_trace_of_its_job(tmp_path: Path, autojump_clock: object):
    async def run(_input: object, ctx: Ctx) -> str | None:
        await trio.lowlevel.checkpoint()
        return ctx.traceparent

    async with opened(tmp_path, worker=True, more=[Handler("traced", run)]) as api:
        headers = JSON | {"traceparent": TRACE}
        ended = await api.ask("POST", "/jobs?wait=9", b'{"type":"traced"}', headers)
        assert ended.json["output"] == TRACE


async def test_readiness_is_proved_by_storing_and_claiming(
    api: Api, monkeypatch: pytest.MonkeyPatch
):
    verbose = (await api.ask("GET", "/readyz?verbose")).json
    names = ["serving", "store", "claims", "worker"]
    assert [(check["name"], check["ok"]) for check in verbose["checks"]] == [
        (name, True) for name in names
    ]

    async def broken(*_: object) -> list[object]:
        raise Unavailable("the claim failed")

    monkeypatch.setattr(api.store, "claim", broken)
    reply = await api.ask("GET", "/readyz")
    assert (reply.status, reply.json["detail"]) == (503, "the claim failed")
    assert (await api.ask("GET", "/livez")).status == 200


async def test_nothing_of_an_array_is_stored_when_one_job_is_bad(api: Api):
    reply = await api.post([{"type": "noop"}, {"type": "sleep", "input": {}}])
    assert reply.status == 422
    assert reply.json["errors"][0]["pointer"] == "/1/input"
    assert (await api.ask("GET", "/jobs")).json["jobs"] == []


async def test_a_service_that_stops_takes_no_job_but_still_answers(api: Api):
    posted = await api.post({"type": "noop"})
    api.service.drain()
    refused = await api.post({"type": "noop"})
    assert refused.status == 503
    assert refused.headers["retry-after"] == "5"
    assert (await api.ask("GET", "/readyz")).status == 503
    verbose = await api.ask("GET", "/healthz?verbose")
    assert verbose.status == 503
    assert [check["name"] for check in verbose.json["checks"] if not check["ok"]] == ["serving"]
    assert (await api.ask("GET", posted.headers["location"])).status == 200


async def test_a_bug_of_ours_is_a_500_that_tells_nothing(api: Api, monkeypatch, caplog):
    async def broken(_ids: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(api.service._store, "get", broken)
    reply = await api.ask("GET", "/jobs/0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d")
    assert reply.status == 500
    assert b"secret" not in reply.body
    assert "secret detail" in caplog.text


async def test_the_size_limits_come_from_the_settings(tmp_path, autojump_clock):
    settings = Settings(max_body=100, max_payload=10, max_upload=50, data_dir=str(tmp_path))
    for way in WAYS:
        async with opened(tmp_path, way, settings) as api:
            reply = await api.post({"type": "noop", "input": "x" * 20})
            assert reply.json["detail"].count("max_payload") == 1
            reply = await api.post({"type": "noop", "input": "x" * 200})
            assert "max_body" in reply.json["detail"]
            upload = await api.ask("POST", "/jobs?type=process_file&operation=count", b"x" * 51)
            assert upload.status == 413
