"""quart-trio, the app that the edge is for, gets what it expects of a server."""

from collections import defaultdict

import trio
from quart import request
from quart_trio import QuartTrio

Log = defaultdict[str, trio.Event]

POST = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"


def make_app(log: Log) -> QuartTrio:
    app = QuartTrio(__name__)

    @app.post("/echo")
    async def echo():
        return await request.get_data()

    @app.post("/count")
    async def count():
        size = 0
        async for piece in request.body:
            size += len(piece)
        return f"{size} bytes"

    @app.get("/wait")
    async def wait():
        log["waiting"].set()
        try:
            await trio.sleep_forever()
        finally:
            log["cancelled"].set()

    @app.get("/events")
    async def events():
        async def stream():
            try:
                while True:
                    yield b"data: x\n\n"
                    await trio.sleep(0.01)
            finally:
                log["ended"].set()

        return stream(), {"content-type": "text/event-stream"}

    @app.get("/boom")
    async def boom():
        raise RuntimeError("boom")

    return app


async def until(log: Log, word: str) -> None:
    with trio.fail_after(5):
        await log[word].wait()


async def test_quart_answers_with_a_length_on_one_connection(edge_serve, edge_tools):
    server = await edge_serve(make_app(Log(trio.Event)), own_lifespan=True)
    async with server.connect() as stream:
        for body in (b"hello", b"", b"x" * 200_000):
            head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
            await stream.send_all(head + body)
            answer = await edge_tools.read_until(stream, body or b"\r\n\r\n")
            while len(answer.partition(b"\r\n\r\n")[2]) < len(body):
                answer += await stream.receive_some()
            assert b"content-length: %d" % len(body) in answer


async def test_quart_reads_chunks_as_they_come(edge_serve):
    server = await edge_serve(make_app(Log(trio.Event)), own_lifespan=True)
    raw = POST.replace(b"/echo", b"/count") + b"Transfer-Encoding: chunked\r\n\r\n"
    answer = await server.talk(raw, b"5\r\nhello\r\n", b"6\r\n world\r\n0\r\n\r\n")
    assert answer.endswith(b"11 bytes")


async def test_a_refused_body_cancels_quart_and_is_a_413(edge_serve, caplog):
    server = await edge_serve(make_app(Log(trio.Event)), own_lifespan=True, max_body=10)
    raw = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    answer = await server.talk(raw + b"b\r\nhello world\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert caplog.text == ""


async def test_a_quart_handler_is_cancelled_when_its_client_goes(edge_serve):
    log = Log(trio.Event)
    server = await edge_serve(make_app(log), own_lifespan=True)
    async with server.connect() as stream:
        await stream.send_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(log, "waiting")
    await until(log, "cancelled")


async def test_a_quart_stream_ends_when_its_client_goes(edge_serve, edge_tools):
    log = Log(trio.Event)
    server = await edge_serve(make_app(log), own_lifespan=True)
    async with server.connect() as stream:
        await stream.send_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        await edge_tools.read_until(stream, b"data: x\n\n\r\n")
    await until(log, "ended")


async def test_quart_hears_the_stop_in_its_lifespan(edge_serve, edge_tools):
    stopped = trio.Event()
    app = make_app(Log(trio.Event))
    app.after_serving(lambda: stopped.set())
    server = await edge_serve(app, own_lifespan=True)
    server.shutdown.set()
    with edge_tools.gather():
        await server.stopped.wait()
    assert stopped.is_set()
