"""Caps before anything is buffered, deadlines for every wait, and a stop that nobody can delay."""

import json

import pytest
import trio

from trio_jobs.config import Settings
from trio_jobs.errors import ConfigError
from trio_jobs.http.edge import serve

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def problem_of(answer: bytes) -> dict:
    top, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in top
    return json.loads(body)


def get(target: bytes = b"/", headers: bytes = b"") -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%b\r\n" % (target, headers)


# -- sizes


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (get(headers=b"X: %b\r\n" % (b"x" * 900)), 200),
        (get(headers=b"X: %b\r\n" % (b"x" * 1000)), 431),
        (get(headers=b"X: y\r\n" * 8), 200),
        (get(headers=b"X: y\r\n" * 9), 431),
        (get(b"/" + b"x" * 99), 200),
        (get(b"/" + b"x" * 100), 414),
        (b"GET /" + b"x" * 5000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 5000, 431),
        (b"G" * 5000, 414),
    ],
)
async def test_a_head_has_a_largest_size(raw, status, edge_serve):
    server = await edge_serve(max_head=1000, max_headers=10, max_url=100)
    answer = await server.talk(raw)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    if status != 200:
        assert problem_of(answer)["status"] == status


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(edge_serve):
    heard = []

    async def app(scope, receive, send):
        heard.append(scope["path"])

    server = await edge_serve(app, max_body=1000)
    raw = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n"
    answer = await server.talk(raw)
    assert problem_of(answer)["status"] == 413
    assert heard == []


async def test_chunks_past_the_limit_are_refused_as_they_come(edge_serve, edge_tools):
    seen = []

    async def app(scope, receive, send):
        while seen[-1:] != ["http.disconnect"]:
            seen.append((await receive())["type"])
        with pytest.raises(OSError, match="gone"):
            await edge_tools.answer(send, b"too late")

    server = await edge_serve(app, max_body=1000)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"1f4\r\n" + b"x" * 500 + b"\r\n"
    answer = await server.talk(head, chunk, chunk, chunk, GET)
    assert answer.count(b"HTTP/1.1") == 1
    assert problem_of(answer)["status"] == 413
    assert seen[-1] == "http.disconnect"


async def test_each_route_has_its_own_largest_body(edge_serve, edge_tools):
    def limit(scope):
        return {"/echo": 10, "/": None}[scope["path"]]

    server = await edge_serve(body_limit=limit)
    raw = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    assert (await server.talk(raw % (b"/echo", 10) + b"x" * 10)).endswith(b"x" * 10)
    assert problem_of(await server.talk(raw % (b"/echo", 11)))["status"] == 413
    assert (await server.talk(raw % (b"/", 10**9))).startswith(b"HTTP/1.1 200")


async def test_an_error_in_the_body_limit_is_a_500(edge_serve, caplog):
    def limit(scope):
        raise KeyError(scope["path"])

    server = await edge_serve(body_limit=limit)
    answer = await server.talk(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
    assert problem_of(answer)["status"] == 500


# -- how many


async def test_connections_past_the_limit_are_told_to_come_back(edge_serve, edge_tools):
    server = await edge_serve(max_connections=2)
    async with server.connect() as one, server.connect():
        await one.send_all(GET)
        await edge_tools.read_until(one, b"ok")
        await trio.testing.wait_all_tasks_blocked()
        answer = await server.talk(GET)
        assert problem_of(answer)["status"] == 503
        assert b"\r\nretry-after: " in answer
        await one.send_all(LAST)
        assert (await edge_tools.read_all(one)).endswith(b"ok")
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert (await server.talk(LAST)).endswith(b"ok"), "places are given back"


async def test_one_address_cannot_take_all_places(edge_serve, edge_tools):
    server = await edge_serve(max_connections_per_ip=1)
    async with server.connect() as one:
        await one.send_all(GET)
        await edge_tools.read_until(one, b"ok")
        assert problem_of(await server.talk(GET))["status"] == 503
        async with await trio.open_tcp_stream(
            "127.0.0.1", server.port, local_address="127.0.0.2"
        ) as other:
            await other.send_all(LAST)
            assert (await edge_tools.read_all(other)).endswith(b"ok")


async def test_two_served_apps_do_not_share_their_places(edge_serve, edge_tools):
    small, large = await edge_serve(max_connections=1), await edge_serve()
    async with small.connect() as one:
        await one.send_all(GET)
        await edge_tools.read_until(one, b"ok")
        assert (await large.talk(LAST)).endswith(b"ok")
        assert problem_of(await small.talk(GET))["status"] == 503


async def test_a_trusted_proxy_is_not_one_address(edge_serve, edge_tools):
    server = await edge_serve(max_connections_per_ip=1, trusted_proxies=("127.0.0.0/8",))
    async with server.connect() as one:
        await one.send_all(GET)
        await edge_tools.read_until(one, b"ok")
        assert (await server.talk(LAST)).endswith(b"ok")


# -- deadlines


@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\nHost: a\r\n"])
async def test_a_slow_head_is_answered_at_its_deadline(start, edge_serve):
    server = await edge_serve(head_timeout=0.2)
    assert problem_of(await server.talk(start))["status"] == 408


async def test_a_head_that_trickles_is_not_given_more_time(edge_serve, edge_tools):
    server = await edge_serve(head_timeout=0.3)
    async with server.connect() as stream, trio.open_nursery() as nursery:

        async def trickle() -> None:
            await stream.send_all(b"GET / HTTP/1.1\r\n")
            while True:
                await stream.send_all(b"X: y\r\n")
                await trio.sleep(0.05)

        nursery.start_soon(trickle)
        assert problem_of(await edge_tools.read_all(stream))["status"] == 408
        nursery.cancel_scope.cancel()


async def test_a_connection_that_says_nothing_is_closed(edge_serve):
    server = await edge_serve(head_timeout=0.2)
    async with server.connect() as stream:
        assert await stream.receive_some() == b""


async def test_an_idle_connection_is_closed(edge_serve, edge_tools):
    server = await edge_serve(keep_alive=0.2)
    async with server.connect() as stream:
        await stream.send_all(GET)
        await edge_tools.read_until(stream, b"ok")
        assert await stream.receive_some() == b""


async def test_a_busy_connection_is_not_idle(edge_serve, edge_tools):
    async def app(scope, receive, send):
        await trio.sleep(0.4)
        await edge_tools.answer(send, b"ok")

    server = await edge_serve(app, keep_alive=0.1, head_timeout=0.1, body_timeout=0.1)
    assert (await server.talk(LAST)).endswith(b"ok")


@pytest.mark.parametrize("framing", [b"Content-Length: 99", b"Transfer-Encoding: chunked"])
async def test_a_body_that_stops_is_answered_at_its_deadline(framing, edge_serve):
    server = await edge_serve(body_timeout=0.2)
    answer = await server.talk(b"POST /echo HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n5\r\nx" % framing)
    assert problem_of(answer)["status"] == 408


async def test_a_body_that_goes_on_is_given_time(edge_serve, edge_tools):
    server = await edge_serve(body_timeout=0.3)
    async with server.connect() as stream:
        await stream.send_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        for letter in b"hello":
            await trio.sleep(0.15)
            await stream.send_all(bytes([letter]))
        await edge_tools.read_until(stream, b"hello")


async def test_a_client_that_does_not_read_is_dropped(edge_serve, edge_tools):
    cancelled = trio.Event()

    async def app(scope, receive, send):
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                body = b"x" * 1_000_000
                await send({"type": "http.response.body", "body": body, "more_body": True})
        finally:
            cancelled.set()

    server = await edge_serve(app, send_timeout=0.2)
    async with server.connect() as stream:
        await stream.send_all(GET)
        await cancelled.wait()


# -- the stop


async def test_idle_connections_do_not_delay_the_stop(edge_serve, edge_tools):
    server = await edge_serve(shutdown_grace=60)
    async with server.connect() as new, server.connect() as used, server.connect() as half:
        await used.send_all(GET)
        await edge_tools.read_until(used, b"ok")
        await half.send_all(b"GET / HT")
        await trio.testing.wait_all_tasks_blocked()
        server.shutdown.set()
        with edge_tools.gather():
            await server.stopped.wait()
        assert await new.receive_some() == b""
        assert await used.receive_some() == b""


async def test_a_busy_connection_ends_its_response_and_closes(edge_serve, edge_tools):
    busy, go = trio.Event(), trio.Event()

    async def app(scope, receive, send):
        busy.set()
        await go.wait()
        await edge_tools.answer(send, b"ok")

    server = await edge_serve(app, shutdown_grace=60)
    async with server.connect() as stream:
        await stream.send_all(GET + GET)
        await busy.wait()
        server.shutdown.set()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert not server.stopped.is_set()
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream("127.0.0.1", server.port)
        go.set()
        answer = await edge_tools.read_all(stream)
        assert b"connection: close" in answer
        assert answer.count(b"HTTP/1.1 200") == 1
    with edge_tools.gather():
        await server.stopped.wait()


async def test_a_request_that_came_with_the_stop_is_still_answered(edge_serve, edge_tools):
    server = await edge_serve(shutdown_grace=60)
    async with server.connect() as stream:
        await stream.send_all(GET)
        await edge_tools.read_until(stream, b"ok")
        await trio.testing.wait_all_tasks_blocked()
        server.shutdown.set()
        await stream.send_all(GET)
        assert (await edge_tools.read_all(stream)).endswith(b"ok")


async def test_nobody_delays_the_stop_past_its_grace(edge_serve, edge_tools):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/flood":
            while True:
                body = b"x" * 1_000_000
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await trio.sleep_forever()

    server = await edge_serve(app, shutdown_grace=0.3)
    async with server.connect() as one, server.connect() as two, server.connect() as three:
        await one.send_all(GET)
        await two.send_all(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        await three.send_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
        await trio.testing.wait_all_tasks_blocked(0.05)
        server.shutdown.set()
        with trio.fail_after(2):
            await server.stopped.wait()


async def test_cancelling_the_server_closes_everything_at_once(edge_tools):

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await edge_tools.app(scope, receive, send)
        else:
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        settings = Settings(bind="127.0.0.1:0")
        urls = await nursery.start(
            lambda task_status: serve(app, settings, task_status=task_status)
        )
        port = int(urls[0].rpartition(":")[2])
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(GET)
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
    # left at once


async def test_a_port_that_is_taken_is_a_plain_error(edge_server):

    with pytest.raises(OSError, match="in use"):
        await serve(None, Settings(bind=f"127.0.0.1:{edge_server.port}"))


async def test_a_certificate_that_is_none_is_a_config_error(tmp_path):

    path = tmp_path / "cert.pem"
    path.write_text("nonsense")
    for cert in (path, tmp_path / "missing"):
        settings = Settings(bind="127.0.0.1:0", tls_cert=str(cert), tls_key=str(path))
        with pytest.raises(ConfigError, match="tls_cert"):
            await serve(None, settings)
