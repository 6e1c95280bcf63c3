"""`webhook` against a real server on loopback, opened through the allow-list."""

import base64
import gzip
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from typing import Any

import pytest
import standardwebhooks
import trio
from hypothesis import given
from hypothesis import strategies as st

from trio_jobs.builtin import signing, webhook
from trio_jobs.builtin.webhook import MAX_BODY, retry_after
from trio_jobs.builtin.webhook_url import check_url
from trio_jobs.config import Settings
from trio_jobs.errors import ConfigError, Fail, InvalidInput, Retry

from ..receiver import Server, reply
from .conftest import JOB_ID, FakeCtx, decode, on_the_wire

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OLD_SECRET = "whsec_" + base64.b64encode(b"o" * 24).decode()


@pytest.fixture
async def serve(nursery: trio.Nursery) -> Callable[[bytes], Any]:
    async def start(answer: bytes) -> Server:
        server = Server(answer)
        await nursery.start(server.run)
        return server

    return start


async def run(settings: Settings, payload: dict[str, Any]) -> Any:
    handler = webhook.handler(settings)
    return on_the_wire(await handler.run(decode(handler, payload), FakeCtx()))


async def test_a_request_arrives_and_its_answer_is_the_result(serve: Any, settings: Any) -> None:
    server = await serve(reply(201, "X-Thing: a", "X-Thing: b", body="grüß".encode()))
    result = await run(
        settings,
        {"url": server.url(), "json": {"a": [1, 2.50]}, "headers": {"X-Mine": "1"}},
    )
    request, body = server.requests[0]
    assert (request.method, request.target) == (b"POST", b"/hook?x=1")
    assert body == b'{"a":[1,2.5]}'
    assert server.headers["content-type"] == "application/json"
    assert server.headers["x-mine"] == "1"
    assert server.headers["accept-encoding"] == "identity"
    assert "cookie" not in server.headers
    assert "webhook-signature" not in server.headers
    assert (result["status"], result["body"], result["truncated"]) == (201, "grüß", False)
    assert result["headers"]["x-thing"] == "a, b"
    assert 0 < result["elapsed"] < 10
    assert "body_encoding" not in result


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_works(serve: Any, settings: Any, method: str) -> None:
    server = await serve(reply(204))
    result = await run(settings, {"url": server.url(), "method": method})
    assert (server.requests[0][0].method.decode(), result["status"]) == (method, 204)


async def test_json_is_sent_as_it_was_written(serve: Any, settings: Any) -> None:
    server = await serve(reply(200))
    handler = webhook.handler(settings)
    payload = b'{"url":"%s","json": {"n": 1.50, "big": 12345678901234567890123}}'
    await handler.run(handler.decode(payload % server.url().encode()), FakeCtx())
    assert server.requests[0][1] == b'{"n": 1.50, "big": 12345678901234567890123}'


async def test_a_receiver_can_know_when_nobody_waits_for_its_answer_any_more(
    serve: Any, settings: Any
) -> None:
    server = await serve(reply(200))
    handler = webhook.handler(settings)
    ctx = FakeCtx(deadline=1_764_000_000.25)
    await handler.run(decode(handler, {"url": server.url()}), ctx)
    assert server.headers["trio-jobs-deadline"] == "2025-11-24T16:00:00.250000Z"


async def test_a_body_can_have_a_type_of_its_own(serve: Any, settings: Any) -> None:
    server = await serve(reply(200))
    await run(
        settings, {"url": server.url(), "body": "<a/>", "headers": {"content-type": "text/xml"}}
    )
    assert server.requests[0][1] == b"<a/>"
    assert server.headers["content-type"] == "text/xml"


@pytest.mark.parametrize("where", ["input", "settings"])
async def test_receivers_can_verify_the_signature(serve: Any, settings: Any, where: str) -> None:
    server = await serve(reply(200))
    payload: dict[str, Any] = {"url": server.url(), "json": {"a": "ü"}}
    if where == "input":
        payload["secret"] = SECRET
    else:
        settings = replace(settings, webhook_secret=SECRET)
    await run(settings, payload)
    body = server.requests[0][1]
    assert standardwebhooks.Webhook(SECRET).verify(body, server.headers) == {"a": "ü"}
    assert server.headers["webhook-id"] == JOB_ID


def test_both_secrets_verify_while_one_replaces_the_other() -> None:
    headers = signing.signature_headers(f"{SECRET} {OLD_SECRET}", "id", int(time.time()), b"{}")
    for secret in (SECRET, OLD_SECRET):
        standardwebhooks.Webhook(secret).verify(b"{}", headers)


@given(st.binary(min_size=24, max_size=64), st.text(), st.text(alphabet="abc-123", min_size=1))
def test_signatures_are_those_of_the_standard(key: bytes, body: str, message_id: str) -> None:
    secret = base64.b64encode(key).decode()
    now = datetime.now(UTC)
    ours = signing.signature_headers(secret, message_id, int(now.timestamp()), body.encode())
    theirs = standardwebhooks.Webhook(secret).sign(message_id, now, body)
    assert ours["webhook-signature"] == theirs


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%%%", "password", "whsec_a2tr"])
def test_a_useless_secret_is_refused_without_being_repeated(settings: Any, secret: str) -> None:
    handler = webhook.handler(settings)
    with pytest.raises(InvalidInput) as refused:
        decode(handler, {"url": "http://a.example/", "secret": secret})
    assert refused.value.pointer == "/secret"
    assert not secret or secret == "whsec_" or secret not in str(refused.value)
    with pytest.raises(ConfigError, match="webhook_secret"):
        webhook.handler(replace(settings, webhook_secret=secret))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 599])
async def test_what_may_pass_is_tried_again(serve: Any, settings: Any, status: int) -> None:
    server = await serve(reply(status, "Retry-After: 7", body=b"not\nnow"))
    with pytest.raises(Retry, match=f"answered {status}: not now") as retry:
        await run(settings, {"url": server.url()})
    assert retry.value.after == 7


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
async def test_what_will_not_pass_fails_for_good(serve: Any, settings: Any, status: int) -> None:
    server = await serve(reply(status, body=b"no such thing"))
    with pytest.raises(Fail, match=f"answered {status}: no such thing"):
        await run(settings, {"url": server.url()})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_cannot_lead_inside(serve: Any, settings: Any, status: int) -> None:
    inside = await serve(reply(200))
    server = await serve(reply(status, f"Location: {inside.url()}"))
    with pytest.raises(Fail, match=f"answered {status}"):
        await run(settings, {"url": server.url()})
    assert inside.requests == []


async def test_an_endless_answer_is_cut_off(serve: Any, settings: Any) -> None:
    body = b"\xc3\xbc" * 400_000  # cut in the middle of a character, once shifted by one
    server = await serve(reply(200, body=b"x" + body))
    result = await run(settings, {"url": server.url()})
    assert result["truncated"] is True
    assert result["body"] == "x" + "ü" * ((MAX_BODY - 1) // 2)
    await server.closed.wait()


async def test_an_answer_of_just_the_limit_is_whole(serve: Any, settings: Any) -> None:
    server = await serve(reply(200, body=b"x" * MAX_BODY))
    result = await run(settings, {"url": server.url()})
    assert (len(result["body"]), result["truncated"]) == (MAX_BODY, False)


@pytest.mark.parametrize("body", [gzip.compress(b"0" * 1_000_000), b"a\0b", b"\xff"])
async def test_bytes_that_are_no_text_come_as_base64(
    serve: Any, settings: Any, body: bytes
) -> None:
    server = await serve(reply(200, "Content-Encoding: gzip", body=body))
    result = await run(settings, {"url": server.url()})
    assert result["body_encoding"] == "base64"
    assert base64.b64decode(result["body"]) == body


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
async def test_a_server_that_stalls_is_left_at_the_deadline(
    serve: Any, settings: Any, answer: bytes
) -> None:
    server = await serve(answer)
    with pytest.raises(Retry, match=r"within 0\.3 seconds"):
        await run(settings, {"url": server.url(), "timeout": 0.3})
    await server.closed.wait()


async def test_a_cancel_reaches_a_request_under_way(
    serve: Any, settings: Any, nursery: trio.Nursery
) -> None:
    server = await serve(b"HTTP/1.1 200 OK\r\n")
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as inner:
            inner.start_soon(run, settings, {"url": server.url()})
            while not server.requests:
                await trio.lowlevel.checkpoint()
            scope.cancel()
    assert scope.cancelled_caught
    await server.closed.wait()


async def test_no_connection_is_tried_again(settings: Any) -> None:
    with trio.socket.socket() as reserved:
        await reserved.bind(("127.0.0.1", 0))  # not listening
        port = reserved.getsockname()[1]
        with pytest.raises(Retry, match="could not be reached") as retry:
            await run(settings, {"url": f"http://127.0.0.1:{port}/"})
    assert retry.value.after is None


async def test_an_untrusted_certificate_is_told(
    nursery: trio.Nursery, settings: Any, server_tls: Any
) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        with pytest.raises(trio.BrokenResourceError):
            await trio.SSLStream(stream, server_tls, server_side=True).do_handshake()

    listeners = await nursery.start(partial(trio.serve_tcp, handle, host="127.0.0.1"), 0)
    port = listeners[0].socket.getsockname()[1]
    with pytest.raises(Retry, match="certificate was refused"):
        await run(settings, {"url": f"https://127.0.0.1:{port}/"})


async def test_private_targets_are_closed_by_default(serve: Any, settings: Any) -> None:
    server = await serve(reply(200))
    with pytest.raises(Fail, match=r"loopback address.*webhook_allow"):
        await run(replace(settings, webhook_allow=()), {"url": server.url()})
    assert server.requests == []


GOOD_URLS = [
    "http://example.com",
    "https://example.com:8443/a/b?c=d&e=%20#f",
    "HTTP://EXAMPLE.com/",
    "http://[2606:4700::1]:80/",
    "http://bücher.example/",
    "http://example.com./",
]
BAD_URLS = [
    "",
    "example.com",
    "//example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "http://",
    "http:///x",
    "http://user@example.com/",
    "http://user:pass@example.com/",
    "http://@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://exa mple.com/",
    "http://example.com/\r\nHost: other",
    "http://example.com/\0",
    "http://example.com/\u2028",
    "http://example.com:0/",
    "http://example.com:99999/",
    "http://example.com:port/",
    "http://[fe80::1%25eth0]/",
    "http://[::1",
    "http://a..b/",
    "http://" + "a" * 64 + ".com/",
    "http://example.com/" + "a" * 3_000,
]


@pytest.mark.parametrize("url", GOOD_URLS)
def test_plain_urls_are_taken(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize("url", BAD_URLS)
def test_urls_that_mean_two_things_are_refused_at_enqueue(settings: Any, url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(webhook.handler(settings), {"url": url})
    assert refused.value.pointer == "/url"


@given(st.text(max_size=40))
def test_no_url_is_an_accident(text: str) -> None:
    for url in (text, f"http://{text}/", f"http://example.com/{text}"):
        with suppress(InvalidInput):
            check_url(url)


@pytest.mark.parametrize(("own", "passed"), [({}, TRACE), ({"TraceParent": "own"}, "own")])
async def test_the_trace_goes_on_unless_the_job_has_one_of_its_own(
    serve: Any, settings: Any, own: dict[str, str], passed: str
) -> None:
    server = await serve(reply(200))
    handler = webhook.handler(settings)
    payload = {"url": server.url(), "headers": own}
    await handler.run(decode(handler, payload), FakeCtx(traceparent=TRACE))
    assert server.headers["traceparent"] == passed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "a\r\nX-B: b"),
        ("X-A", "a\nb"),
        ("X-A", "a\0"),
        ("X-A", "ü"),
        ("X-A\r\nX-B", "a"),
        ("X A", "a"),
        ("", "a"),
        ("Host", "other"),
        ("content-length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "upgrade"),
        ("Accept-Encoding", "gzip"),
        ("Proxy-Authorization", "x"),
        ("Webhook-Signature", "v1,x"),
        ("Trio-Jobs-Deadline", "2026-01-01T00:00:00Z"),
    ],
)
def test_headers_cannot_reshape_the_request(settings: Any, name: str, value: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(webhook.handler(settings), {"url": "http://a.example/", "headers": {name: value}})
    assert refused.value.pointer == f"/headers/{name}"


@pytest.mark.parametrize(
    ("extra", "pointer"),
    [
        ({"json": 1, "body": "a"}, "/body"),
        ({"timeout": 31}, "/timeout"),
        ({"timeout": 0}, "/timeout"),
        ({"method": "CONNECT"}, "/method"),
        ({"headers": {f"X-{n}": "" for n in range(65)}}, "/headers"),
        ({"heads": {}}, ""),
    ],
)
def test_a_wrong_option_is_told_by_its_place(settings: Any, extra: Any, pointer: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(webhook.handler(settings), {"url": "http://a.example/", **extra})
    assert refused.value.pointer == pointer


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("120", 120),
        ("86401", 86_400),
        ("9" * 20, 86_400),
        ("9" * 5_000, None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("", None),
        (format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), 90),
        (format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        ("Tue, 14 Nov 2023 22:14:50 -0000", 90),
        ("Tue, 99 Nov 2023 22:14:50 GMT", None),
    ],
)
def test_retry_after_is_obeyed_within_a_day(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.text(max_size=60))
def test_no_retry_after_is_an_accident(value: str) -> None:
    wait = retry_after(value, NOW)
    assert wait is None or 0 <= wait <= 86_400
