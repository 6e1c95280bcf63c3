"""Responses are framed so that no client can misread them, and an error ends one connection."""

import re

import h11
import pytest
import trio

GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"


def get(path: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    return b"%b %b HTTP/%b\r\nHost: a\r\nConnection: close\r\n\r\n" % (method, path, version)


def app_of(status=200, headers=(), *bodies):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for index, body in enumerate(bodies):
            more = index < len(bodies) - 1
            await send({"type": "http.response.body", "body": body, "more_body": more})

    return app


async def test_a_small_response_is_one_packet(edge_server):
    async with edge_server.connect() as stream:
        await stream.send_all(GET % b"/")
        answer = await stream.receive_some()
    assert re.fullmatch(
        rb"HTTP/1\.1 200 OK\r\ncontent-type: text/plain\r\n"
        rb"date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\ncontent-length: 2\r\n\r\nok",
        answer,
    )


async def test_a_stream_is_chunked(edge_server):
    answer = await edge_server.talk(get(b"/stream"))
    assert b"transfer-encoding: chunked" in answer
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n")


async def test_a_stream_to_http_1_0_ends_with_the_connection(edge_server):
    answer = await edge_server.talk(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert b"transfer-encoding" not in answer
    assert b"connection: close" in answer
    assert answer.endswith(b"\r\n\r\nonetwothree")


@pytest.mark.parametrize("path", [b"/", b"/stream", b"/status/204", b"/status/304", b"/boom"])
async def test_head_has_the_headers_of_get_and_no_body(path, edge_server):
    answer = await edge_server.talk(get(path, b"HEAD"))
    assert answer.endswith(b"\r\n\r\n")
    assert answer.count(b"\r\n\r\n") == 1
    assert (b"content-length: 2\r\n" in answer) == (path == b"/")


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_has_none(status, edge_server):
    next_one = get(b"/")
    answer = await edge_server.talk(GET % (b"/status/%d" % status) + next_one)
    first, second = answer.split(b"HTTP/1.1 ")[1:]
    assert first.endswith(b"\r\n\r\n")
    assert second.startswith(b"200")
    assert b"content-length" not in first or status == 304


@pytest.mark.parametrize(
    "app",
    [
        app_of(200, [(b"x", b"a\r\nset-cookie: b")], b""),
        app_of(200, [(b"x", b"a\nb")], b""),
        app_of(200, [(b"x\r\ny", b"a")], b""),
        app_of(200, [(b"x", b"\0")], b""),
        app_of(200, [(b"content-length", b"x")], b""),
        app_of(200, [(b"content-length", b"1"), (b"content-length", b"1")], b"1"),
        app_of(200, [(b"content-length", b"1")], b"12"),
        app_of(200, [(b"content-length", b"3")], b"12"),
        app_of(200, [("x", "y")], b""),
        app_of(200, [], "text"),
        app_of(101, [], b""),
        app_of(1000, [], b""),
        app_of("200", [], b""),
        app_of(200, []),
    ],
    ids=[
        *("CR LF in a value", "LF in a value", "CR LF in a name", "NUL", "a length that is none"),
        *("two lengths", "more than its length", "less than its length", "str headers"),
        *("a str body", "101", "1000", "a str status", "no body"),
    ],
)
async def test_a_response_that_would_break_the_framing_is_a_500(app, edge_serve, caplog):
    server = await edge_serve(app)
    answer = await server.talk(GET % b"/" + get(b"/"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"application/problem+json" in answer
    assert b"set-cookie" not in answer
    assert "failed" in caplog.text or "without an answer" in caplog.text


@pytest.mark.parametrize("bodies", [(b"12", b"34"), (b"1", b"1")], ids=["longer", "shorter"])
async def test_a_stream_that_breaks_its_length_ends_the_connection(bodies, edge_serve, caplog):
    server = await edge_serve(app_of(200, [(b"content-length", b"3")], *bodies))
    answer = await server.talk(GET % b"/" + get(b"/"))
    assert answer.count(b"HTTP/1.1") == 1
    assert len(answer.partition(b"\r\n\r\n")[2]) < 3  # so the client knows that it is broken


async def test_what_belongs_to_the_connection_is_the_edges_to_say(edge_serve):
    headers = [
        (b"Transfer-Encoding", b"gzip"),
        (b"Connection", b"upgrade"),
        (b"Upgrade", b"h2c"),
        (b"Keep-Alive", b"5"),
        (b"Date", b"Thu, 01 Jan 1970 00:00:00 GMT"),
    ]
    server = await edge_serve(app_of(200, headers, b"x"))
    top = (await server.talk(get(b"/"))).partition(b"\r\n\r\n")[0].lower().split(b"\r\n")[1:]
    assert top == [
        b"date: thu, 01 jan 1970 00:00:00 gmt",
        b"content-length: 1",
        b"connection: close",
    ]


async def test_an_app_may_close_the_connection(edge_serve):
    server = await edge_serve(app_of(200, [(b"connection", b"close")], b"x"))
    assert b"connection: close" in await server.talk(GET % b"/")


async def test_headers_may_come_from_any_iterable(edge_serve):
    server = await edge_serve(app_of(200, iter([(b"x-a", b"1"), (b"x-b", b"2")]), b""))
    assert b"x-a: 1\r\nx-b: 2\r\n" in await server.talk(get(b"/"))


async def test_a_failing_app_ends_its_own_connection_only(edge_server, edge_tools, caplog):
    async with edge_server.connect() as other:
        await other.send_all(GET % b"/")
        await edge_tools.read_until(other, b"ok")
        answer = await edge_server.talk(GET % b"/boom" + get(b"/"))
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert answer.count(b"HTTP/1.1") == 1
        assert b"boom" not in answer, "an error's text is not for strangers"
        assert "RuntimeError: boom" in caplog.text
        await other.send_all(GET % b"/")
        await edge_tools.read_until(other, b"ok")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(1),
        BaseException("base"),
        ExceptionGroup("g", [ValueError(1), ExceptionGroup("h", [KeyError(2)])]),
        BaseExceptionGroup("g", [SystemExit(1), ValueError(1)]),
        RecursionError(),
        MemoryError(),
        Unprintable(),
        OSError(9, "bad"),
        trio.ClosedResourceError(),
        trio.TooSlowError(),
        StopAsyncIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_no_exception_of_an_app_reaches_the_server(error, edge_serve, edge_tools, caplog):
    async def app(scope, receive, send):
        if scope["type"] == "http" and scope["path"] == "/raise":
            raise error
        await edge_tools.app(scope, receive, send)

    server = await edge_serve(app)
    assert (await server.talk(GET % b"/raise")).startswith(b"HTTP/1.1 500 ")
    assert (await server.talk(get(b"/"))).endswith(b"ok")


async def test_a_group_with_a_cancellation_in_it_loses_neither_half(edge_serve, edge_tools, caplog):
    async def app(scope, receive, send):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise ValueError("half")

    server = await edge_serve(app)
    assert (await server.talk(GET % b"/")).startswith(b"HTTP/1.1 500 ")
    assert "half" in caplog.text


async def test_an_app_that_fails_in_mid_response_truncates_it(edge_serve, caplog):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("later")

    server = await edge_serve(app)
    answer = await server.talk(get(b"/"))
    assert answer.endswith(b"4\r\nhalf\r\n"), "no last chunk: the client knows"
    assert b"500" not in answer


async def test_an_app_that_forgets_to_answer_is_a_500(edge_serve, caplog):
    async def app(scope, receive, send):
        pass

    server = await edge_serve(app)
    assert (await server.talk(GET % b"/")).startswith(b"HTTP/1.1 500 ")
    assert "without an answer" in caplog.text


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.body", "body": b""}],
        [{"type": "http.response.start", "status": 200}] * 2,
        [{"type": "websocket.accept"}],
        [{"type": "http.response.push"}],
        [{}],
    ],
)
async def test_messages_out_of_order_are_a_500(messages, edge_serve, caplog):
    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    server = await edge_serve(app)
    assert (await server.talk(GET % b"/")).startswith(b"HTTP/1.1 500 ")


async def test_a_second_response_is_not_sent(edge_serve, edge_tools, caplog):
    async def app(scope, receive, send):
        await edge_tools.answer(send, b"one")
        await edge_tools.answer(send, b"two")

    server = await edge_serve(app)
    answer = await server.talk(get(b"/"))
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b"one")


async def test_a_stream_waits_for_its_reader(edge_serve, edge_tools):
    sent = 0
    stopped = trio.Event()

    async def app(scope, receive, send):
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 9999, "more_body": True})
                sent += 9999
        finally:
            stopped.set()

    server = await edge_serve(app)
    async with server.connect() as stream:
        await stream.send_all(GET % b"/")
        before = -1
        while before != sent:
            before = sent
            await trio.testing.wait_all_tasks_blocked(0.05)
        assert sent < 50_000_000
        while sent == before:
            await stream.receive_some()
    with edge_tools.gather():
        await stopped.wait()


async def test_a_stream_to_a_fast_reader_lets_others_be_served(edge_serve, edge_tools):
    async def app(scope, receive, send):
        if scope["path"] == "/flood":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await edge_tools.answer(send, b"ok")

    server = await edge_serve(app)
    async with server.connect() as stream, trio.open_nursery() as nursery:
        await stream.send_all(GET % b"/flood")
        nursery.start_soon(edge_tools.read_all, stream)
        for _ in range(5):
            assert (await server.talk(get(b"/"))).endswith(b"ok")
        nursery.cancel_scope.cancel()


async def test_two_tasks_may_write_one_stream(edge_serve, edge_tools):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

        async def write(letter: bytes) -> None:
            for _ in range(20):
                body = letter * 200_000
                await send({"type": "http.response.body", "body": body, "more_body": True})

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, b"a")
            nursery.start_soon(write, b"b")
        await send({"type": "http.response.body"})

    server = await edge_serve(app)
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=10**7)
    async with server.connect() as stream:
        request = h11.Request(method="GET", target="/", headers=[("host", "a")])
        await stream.send_all(connection.send(request))
        connection.send(h11.EndOfMessage())
        size = {97: 0, 98: 0}
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Data):
                for letter in size:
                    size[letter] += event.data.count(letter)
    assert size == {97: 4_000_000, 98: 4_000_000}


async def test_a_send_that_was_cancelled_halfway_is_not_followed_by_another(
    edge_serve, edge_tools, caplog
):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with trio.move_on_after(0.1):
            body = b"x" * 30_000_000
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"END"})

    server = await edge_serve(app)
    async with server.connect() as stream:
        await stream.send_all(GET % b"/")
        await trio.sleep(0.3)  # the time limit above is part of the accident
        answer = await edge_tools.read_all(stream)
    assert b"END" not in answer


async def test_an_event_stream_opens_before_its_first_event(edge_serve, edge_tools):
    async def app(scope, receive, send):
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await trio.sleep_forever()

    server = await edge_serve(app)
    async with server.connect() as stream:
        await stream.send_all(GET % b"/")
        assert b"text/event-stream" in await edge_tools.read_until(stream, b"\r\n\r\n")


async def test_an_app_hears_that_its_client_is_gone_when_it_sends(edge_serve, edge_tools, caplog):
    failed = trio.Event()
    gone = trio.Event()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
                await gone.wait()
        except OSError:
            with pytest.raises(OSError, match="gone"):
                await send({"type": "http.response.body", "body": b"x"})
            failed.set()
            raise

    server = await edge_serve(app)
    async with server.connect() as stream:
        await stream.send_all(GET % b"/")
        await stream.receive_some()
    gone.set()
    with edge_tools.gather():
        await failed.wait()
    await trio.testing.wait_all_tasks_blocked()
    assert caplog.text == "", "clients go all the time: that is no news"
