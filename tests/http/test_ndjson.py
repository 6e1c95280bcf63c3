"""Many jobs in one request, a line each: the good ones are kept, the bad ones named."""

import json
from functools import partial

import pytest
import trio

from trio_jobs.config import Settings
from trio_jobs.errors import Unavailable
from trio_jobs.http import create_app
from trio_jobs.http.jobs import body_limit
from trio_jobs.http.ndjson import Lines

from .asgi import JSON, NDJSON, Api, opened

NOOP = b'{"type":"noop"}\n'


@pytest.fixture
async def api(tmp_path, autojump_clock):
    async with opened(tmp_path) as api:
        yield api


async def load(api: Api, *pieces: bytes, **headers: str) -> dict:
    reply = await api.ask("POST", "/jobs", list(pieces), NDJSON | headers)
    assert reply.status == 200, reply.body
    return reply.json


async def queued(api: Api) -> int:
    return (await api.get("/queues/default"))["jobs"]["queued"]


async def test_each_line_becomes_a_job(api: Api, autojump_clock):
    lines = b"".join(b'{"type":"noop","input":%d}\n' % n for n in range(1234))
    told = await load(api, lines)
    assert told == {"created": 1234, "deduplicated": 0, "replayed": 0, "failed": 0, "errors": []}
    assert await queued(api) == 1234
    page = await api.get("/jobs?limit=3")
    assert len(page["jobs"]) == 3


async def test_lines_may_be_cut_anywhere(api: Api, autojump_clock):
    lines = b' {"type":"noop","input":"\xc5\xbe"}\r\n\n  \n' + NOOP.strip()
    told = await load(api, *(lines[at : at + 1] for at in range(len(lines))))
    assert (told["created"], told["failed"]) == (2, 0)


async def test_an_empty_body_makes_no_jobs(api: Api, autojump_clock):
    assert (await load(api, b""))["created"] == 0


async def test_bad_lines_are_named_and_the_others_kept(api: Api, autojump_clock):
    bad = {
        2: (b"{", "malformed"),
        3: (b'{"type":"nope"}', "unknown-type"),
        5: (b'{"type":"sleep","input":{}}', "invalid"),
        6: (b'{"type":"noop","wait":5}', "invalid"),
        7: (b'{"type":"noop","prioritty":5}', "invalid"),
        8: (b'{"type":"noop","input":"\xff"}', "malformed"),
        9: (b'[{"type":"noop"}]', "invalid"),
        11: (b'{"type":"noop","input":"' + b"x" * 300_000 + b'"}', "too-large"),
        12: (b'{"type":"noop","deadline":0}', "invalid"),
        13: (b'{"type":"noop","input":' + b"[" * 100_000, "malformed"),
    }
    lines = [bad[n][0] + b"\n" if n in bad else NOOP for n in range(1, 15)]
    told = await load(api, *lines)
    assert (told["created"], told["failed"]) == (4, len(bad))
    assert [error["line"] for error in told["errors"]] == list(bad)
    for error in told["errors"]:
        assert error["problem"]["type"] == f"/problems/{bad[error['line']][1]}"
        assert error["problem"]["detail"]
        assert len(error["problem"]["detail"]) < 1000
    [wrong] = [error["problem"] for error in told["errors"] if error["line"] == 5]
    assert wrong["errors"][0]["pointer"] == "/input"


async def test_a_hundred_errors_are_told_and_all_are_counted(api: Api, autojump_clock):
    told = await load(api, b"{\n" * 1500 + NOOP + b'{"type":"nope"}\n' * 700)
    assert (told["created"], told["failed"]) == (1, 2200)
    assert [error["line"] for error in told["errors"]] == list(range(1, 101))


async def test_keys_hold_for_lines(api: Api, autojump_clock):
    keyed = b'{"type":"noop","idempotency_key":"k"}\n'
    unique = b'{"type":"noop","unique_key":"u"}\n'
    reject = b'{"type":"noop","unique_key":"u","on_conflict":"reject"}\n'
    first = await load(api, keyed, unique, NOOP)
    assert first["created"] == 3
    again = await load(api, keyed, unique, NOOP)
    assert (again["created"], again["deduplicated"], again["replayed"]) == (1, 1, 1)
    other = b'{"type":"noop","idempotency_key":"k","priority":1}\n'
    told = await load(api, NOOP, other, reject, b'{"type":"noop","idempotency_key":""}\n', NOOP)
    assert told["created"] == 2
    found = [(error["line"], error["problem"]["type"]) for error in told["errors"]]
    assert found == [
        (2, "/problems/key-reused"),
        (3, "/problems/conflict"),
        (4, "/problems/invalid"),
    ]


async def test_what_came_before_a_client_left_is_kept(api: Api, autojump_clock):
    pieces = [NOOP * 600, NOOP * 5]
    async with api.asking("POST", "/jobs", [*pieces, b""], NDJSON) as conversation:
        conversation._messages[-1:] = []
        conversation.leave()
    assert conversation.sent == []
    assert await queued(api) == 500


async def test_a_store_that_gives_out_says_how_far_it_came(api: Api, autojump_clock, monkeypatch):
    enqueue = api.store.enqueue

    async def once(*args: object) -> object:
        if await queued(api):
            raise Unavailable("The disk is full.", 7.0)
        return await enqueue(*args)

    monkeypatch.setattr(api.store, "enqueue", once)
    reply = await api.ask("POST", "/jobs", NOOP * 1200, NDJSON)
    assert (reply.status, reply.headers["retry-after"]) == (503, "7")
    assert "The disk is full. All lines before line 501" in reply.json["detail"]
    assert await queued(api) == 500


async def test_a_service_that_stops_takes_no_lines(api: Api, autojump_clock):
    api.service.drain()
    assert (await api.ask("POST", "/jobs", NOOP, NDJSON)).status == 503


@pytest.mark.parametrize(
    ("path", "headers"), [("/jobs?type=noop", {}), ("/jobs", {"Idempotency-Key": "k"})]
)
async def test_what_has_no_meaning_for_lines_is_refused(api: Api, autojump_clock, path, headers):
    reply = await api.ask("POST", path, NOOP, NDJSON | headers)
    assert (reply.status, reply.json["type"]) == (400, "/problems/malformed")


def test_a_line_that_is_too_long_is_not_kept():
    lines = Lines(10)
    assert list(lines.feed(b"0123456789\n0123456789a\nabc")) == [(1, b"0123456789"), (2, None)]
    for _ in range(100):
        assert list(lines.feed(b"0123456789")) == []
    assert sum(map(len, lines._rest)) == 0
    assert list(lines.feed(b"\nz", last=True)) == [(3, None), (4, b"z")]


def test_only_lines_may_be_of_any_length():
    settings = Settings(max_body=10, max_upload=20)

    def limit(content_type: str, path: str = "/jobs") -> int | None:
        headers = [(b"content-type", content_type.encode())]
        return body_limit(settings, {"method": "POST", "path": path, "headers": headers})

    assert limit("application/x-ndjson; charset=utf-8") is None
    assert limit("application/json") == 10
    assert limit("text/plain") == 20
    assert limit("application/x-ndjson", "/jobs/cancel") == 10


async def test_a_body_of_any_length_comes_in_through_the_edge(edge_serve, tmp_path):
    settings = Settings(data_dir=str(tmp_path), max_body=1000, max_upload=1000)
    async with opened(tmp_path, settings=settings) as api:
        server = await edge_serve(
            create_app(api.service, settings),
            body_limit=partial(body_limit, settings),
            max_body=1000,
        )
        head = (
            b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n"
        )
        with trio.fail_after(30):
            answer = await server.talk(head % (len(NOOP) * 5000), NOOP * 5000)
        assert answer.startswith(b"HTTP/1.1 200")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["created"] == 5000
        assert (await api.ask("POST", "/jobs", b" " * 1001, JSON)).status == 413
