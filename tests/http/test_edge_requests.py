"""Requests reach the app whole, in order, and no faster than it takes them."""

import json

import httptools
import hypercorn.trio.run as hypercorn_run
import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer

from trio_jobs.config import Settings
from trio_jobs.http.edge import EdgeConnection, serve

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def scope_of(answer: bytes) -> dict:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


async def test_hypercorn_still_has_the_seam_that_we_replace(edge_server, edge_serve, edge_tools):
    seen = []

    async def app(scope, receive, send, *_):
        if scope["type"] == "http":
            seen.extend(
                task.name for task in trio.lowlevel.current_task().parent_nursery.child_tasks
            )
        await edge_tools.app(scope, receive, send)

    server = await edge_serve(app)
    answer = await server.talk(LAST)
    assert b"server:" not in answer.lower(), "hypercorn's own connection class answered"
    assert any("run_handler" in name for name in seen)
    # Another hypercorn in this process, with a Config of its own, keeps its own class.
    connection = hypercorn_run.TCPServer(app, Config(), None, {}, None)
    assert isinstance(connection, TCPServer)
    assert not isinstance(connection, EdgeConnection)


async def test_an_upgrade_that_moves_the_seam_does_not_go_unnoticed(monkeypatch):
    monkeypatch.delattr(hypercorn_run, "TCPServer")
    with pytest.raises(RuntimeError, match="TCPServer"):
        await serve(None, Settings(bind="127.0.0.1:0"))


async def test_the_scope_has_all_that_an_asgi_app_asks_for(edge_server):
    raw = b"GET /scope?a=%20b&c HTTP/1.1\r\nHost: A:1\r\nX-Two: 1 \t\r\nx-two:2\r\n"
    scope = scope_of(await edge_server.talk(raw + b"Connection: close\r\n\r\n"))
    client = scope.pop("client")
    assert client[0] == "127.0.0.1"
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/scope",
        "raw_path": "/scope",
        "query_string": "a=%20b&c",
        "root_path": "",
        "headers": [["host", "A:1"], ["x-two", "1"], ["x-two", "2"], ["connection", "close"]],
        "server": ["127.0.0.1", edge_server.port],
        "extensions": {},
    }


async def test_lifespan_state_reaches_every_request_as_a_copy(edge_serve, edge_tools):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            scope["state"]["pool"] = "p"
        else:
            scope["state"].setdefault("mine", scope["state"]["pool"])
            assert len(scope["state"]) == 2
            scope["state"]["more"] = 1
        await edge_tools.app(scope, receive, send)

    server = await edge_serve(app, own_lifespan=True)
    assert (await server.talk(GET + LAST)).count(b"200 OK") == 2


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/%73cope", "/scope", ""),
        (b"/scope?", "/scope", ""),
        (b"/scope??a", "/scope", "?a"),
        (b"http://a/scope?x", "/scope", "x"),
        (b"HTTP://A/scope", "/scope", ""),
    ],
)
async def test_a_target_is_split_and_decoded_once(target, path, query, edge_server):
    raw = b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % target
    scope = scope_of(await edge_server.talk(raw))
    assert (scope["path"], scope["query_string"]) == (path, query)


async def test_percent_signs_survive_one_decoding(edge_serve, edge_tools):
    async def app(scope, receive, send):
        await edge_tools.answer(send, scope["path"].encode() + b"|" + scope["raw_path"])

    server = await edge_serve(app)
    for target, path in [(b"/%2525", b"/%25"), (b"/%C3%A4", "/ä".encode()), (b"/%zz", b"/%zz")]:
        raw = b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % target
        assert (await server.talk(raw)).endswith(b"\r\n\r\n" + path + b"|" + target)


async def test_an_absolute_target_without_a_path_is_the_root(edge_server):
    raw = b"GET http://a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert (await edge_server.talk(raw)).endswith(b"ok")


async def test_pipelined_requests_are_answered_in_order(edge_serve, edge_tools):
    async def app(scope, receive, send):
        for _ in range(ord(scope["path"][1]) % 3):  # later requests would be ready sooner
            await trio.lowlevel.checkpoint()
        await edge_tools.answer(send, scope["path"].encode() + b";")

    server = await edge_serve(app)
    names = [b"/%c" % letter for letter in b"fedcba"]
    raw = b"".join(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % name for name in names)
    raw += b"POST /z HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
    answer = await server.talk(raw)
    assert [answer.index(name + b";") for name in [*names, b"/z"]] == sorted(
        answer.index(name + b";") for name in [*names, b"/z"]
    )


async def test_pipelined_bodies_stay_with_their_requests(edge_server):
    raw = b"".join(
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        for body in (b"one", b"", b"GET / HTTP/1.1\r\n\r\n", b"x" * 70_000)
    )
    raw += (
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nend\r\n0\r\n\r\n"
    )
    answer = await edge_server.talk(raw + LAST)
    assert answer.count(b"HTTP/1.1 200 OK") == 6
    assert b"\r\n\r\nGET / HTTP/1.1\r\n\r\nHTTP/1.1 200" in answer
    assert b"\r\n\r\nendHTTP/1.1 200" in answer


async def test_one_connection_serves_many_requests(edge_server, edge_tools):
    async with edge_server.connect() as stream:
        for _ in range(100):
            await stream.send_all(GET)
            assert b"connection:" not in await edge_tools.read_until(stream, b"ok")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", b"connection: close"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"connection: close"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", b"connection: close"),
        (b"GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", b"connection: close"),
    ],
)
async def test_a_client_that_wants_to_close_is_not_kept(raw, says, edge_server):
    answer = await edge_server.talk(raw)
    assert says in answer
    assert answer.startswith(b"HTTP/1.1 200 OK")


async def test_http_1_0_may_keep_its_connection(edge_server, edge_tools):
    async with edge_server.connect() as stream:
        for _ in range(2):
            await stream.send_all(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            assert b"connection: keep-alive" in await edge_tools.read_until(stream, b"ok")


async def test_an_expected_100_is_sent_when_the_app_wants_the_body(edge_server, edge_tools):
    raw = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n"
    async with edge_server.connect() as stream:
        await stream.send_all(raw)
        assert await edge_tools.read_until(stream, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await stream.send_all(b"hi")
        assert (await edge_tools.read_until(stream, b"hi")).startswith(b"HTTP/1.1 200 OK")


async def test_no_100_is_sent_when_nobody_wants_the_body(edge_server):
    raw = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    answer = await edge_server.talk(raw)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in answer  # it cannot know whether the body comes


async def test_no_100_is_sent_when_the_body_is_there(edge_server):
    raw = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi"
    assert (await edge_server.talk(raw + LAST)).startswith(b"HTTP/1.1 200 OK")


async def test_an_unread_small_body_is_skipped(edge_server):
    raw = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n"
    answer = await edge_server.talk(raw, b"x" * 60_000, LAST)
    assert answer.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("framing", [b"Content-Length: 900000", b"Transfer-Encoding: chunked"])
async def test_an_unread_large_body_does_not_become_the_next_request(framing, edge_server):
    raw = b"POST / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % framing
    answer = await edge_server.talk(raw, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
    assert answer.count(b"HTTP/1.1") == 1
    assert b"connection: close" in answer
    assert b"<reset>" not in answer


async def test_a_body_is_read_no_faster_than_the_app_takes_it(edge_serve, edge_tools):
    go = trio.Event()

    async def app(scope, receive, send):
        await receive()
        await go.wait()
        size = 0
        async for piece in edge_tools.body(receive):
            assert len(piece) <= 65_536
            size += len(piece)
        await edge_tools.answer(send, b"%d bytes" % size)

    server = await edge_serve(app, body_limit=lambda scope: None)
    size = 30_000_000
    async with server.connect() as stream, trio.open_nursery() as nursery:
        sent = 0

        async def pour() -> None:
            nonlocal sent
            head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
            await stream.send_all(head)
            for _ in range(size // 100_000):
                await stream.send_all(b"x" * 100_000)
                sent += 100_000

        nursery.start_soon(pour)
        before = -1
        while before != sent:
            before = sent
            await trio.testing.wait_all_tasks_blocked(0.05)
        assert 0 < sent < size, "everything was taken although nobody asked for it"
        go.set()
        await edge_tools.read_until(stream, b" bytes")


async def test_a_client_that_leaves_within_its_body_is_noticed(edge_serve, edge_tools):
    seen = []
    done = trio.Event()

    async def app(scope, receive, send):
        while seen[-1:] != ["http.disconnect"]:
            seen.append((await receive())["type"])
        done.set()

    server = await edge_serve(app)
    async with server.connect() as stream:
        await stream.send_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
    with edge_tools.gather():
        await done.wait()
    assert seen == ["http.request", "http.disconnect"]


async def test_a_long_poll_is_cancelled_when_its_client_goes(edge_serve, edge_tools):
    waiting, cancelled = trio.Event(), trio.Event()

    async def app(scope, receive, send):
        async def work() -> None:
            try:
                waiting.set()
                await trio.sleep_forever()
            finally:
                cancelled.set()

        async def watch() -> None:  # what quart-trio does
            while (await receive())["type"] != "http.disconnect":
                pass
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            nursery.start_soon(watch)

    server = await edge_serve(app)
    async with server.connect() as stream:
        await stream.send_all(GET)
        await waiting.wait()
        assert not cancelled.is_set()
    with edge_tools.gather():
        await cancelled.wait()


async def test_requests_that_come_during_a_long_poll_are_kept_for_later(edge_serve, edge_tools):
    go = trio.Event()

    async def app(scope, receive, send):
        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await go.wait()
            await edge_tools.answer(send, scope["path"].encode())
            nursery.cancel_scope.cancel()

    server = await edge_serve(app)
    async with server.connect() as stream:
        await stream.send_all(b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked()
        await stream.send_all(b"GET /two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked()
        go.set()
        answer = await edge_tools.read_all(stream)
    assert answer.index(b"/one") < answer.index(b"/two")


async def test_what_is_sent_during_a_long_poll_is_bounded(edge_serve, edge_tools):
    async def app(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass

    server = await edge_serve(app)
    async with server.connect() as stream:
        await stream.send_all(GET)
        sent = 0
        with trio.move_on_after(0.3):
            while True:
                await stream.send_all(b"x" * 100_000)
                sent += 100_000
        assert sent < 20_000_000


async def test_receive_ends_with_the_response_for_an_app_that_waits_for_it(edge_serve, edge_tools):
    async def app(scope, receive, send):
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass

            nursery.start_soon(watch)
            await trio.testing.wait_all_tasks_blocked()
            await edge_tools.answer(send, b"ok")
        assert (await receive())["type"] == "http.disconnect"

    server = await edge_serve(app)
    assert (await server.talk(GET + LAST)).count(b"200 OK") == 2


async def test_a_task_that_outlives_its_request_does_not_eat_the_next(
    edge_serve, edge_tools, nursery
):
    leftovers = []

    async def listen(receive) -> None:
        while True:
            message = await receive()
            leftovers.append(message["type"])
            if message["type"] == "http.disconnect":
                return

    async def app(scope, receive, send):
        nursery.start_soon(listen, receive)
        await trio.testing.wait_all_tasks_blocked()
        await edge_tools.answer(send, b"ok")

    server = await edge_serve(app)
    assert (await server.talk(GET + GET + LAST)).count(b"200 OK") == 3
    assert leftovers == ["http.request", "http.disconnect"] * 3


async def test_two_waiting_receives_are_the_apps_mistake(edge_serve, edge_tools, caplog):
    async def app(scope, receive, send):
        await receive()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            nursery.start_soon(receive)

    server = await edge_serve(app)
    assert (await server.talk(GET)).startswith(b"HTTP/1.1 500 ")
    assert "is being awaited already" in caplog.text


def test_httptools_still_has_the_errors_we_tell_apart():
    for name in ("HttpParserInvalidMethodError", "HttpParserUpgrade", "HttpParserError"):
        assert isinstance(getattr(httptools, name), type)
