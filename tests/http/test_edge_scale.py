"""Many clients that do nothing, or will not read, cost little and delay nothing. Real processes."""

import re
import resource
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

GRACE = 1.0
IDLE = 5_000
REPOSITORY = Path(__file__).parents[2]

SERVER = """
import signal, sys, trio
from trio_jobs.config import Settings
from trio_jobs.http.edge import serve

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            await send({"type": message["type"] + ".complete"})
    elif scope["path"] == "/events":
        async def watch():
            while (await receive())["type"] != "http.disconnect":
                pass
            nursery.cancel_scope.cancel()
        async def events():
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b": hello\\n\\n", "more_body": True})
            await trio.sleep_forever()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            nursery.start_soon(events)
    elif scope["path"] == "/flood":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
    else:
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

async def main():
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            async def run(task_status):
                settings = Settings(bind="127.0.0.1:0", shutdown_grace=float(sys.argv[1]))
                await serve(app, settings, shutdown_trigger=stop.wait, task_status=task_status)
                nursery.cancel_scope.cancel()
            urls = await nursery.start(run)
            print(urls[0], flush=True)
            async for _ in signals:
                stop.set()

trio.run(main)
"""


@pytest.fixture
def edge_descriptors():
    """Enough descriptors, here and in the server; a skip where that is not allowed."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 500
    if before[1] != resource.RLIM_INFINITY and before[1] < wanted:
        pytest.skip(f"needs {wanted} descriptors, {before[1]} are allowed")
    if before[0] == resource.RLIM_INFINITY or before[0] >= wanted:
        yield
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def start_process() -> subprocess.Popen:
    command = [sys.executable, "-c", SERVER, str(GRACE)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)


@asynccontextmanager
async def server_process():
    with start_process() as process:
        try:
            url = await trio.to_thread.run_sync(process.stdout.readline)
            yield process, int(url.rpartition(":")[2])
        finally:
            process.kill()


async def stop(process: subprocess.Popen) -> float:
    """Send SIGTERM; the seconds until the exit."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    status = await trio.to_thread.run_sync(process.wait, GRACE + 10)
    assert status == 0
    return time.monotonic() - began


async def request(stream: trio.SocketStream, path: bytes) -> None:
    await stream.send_all(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)


def resident_megabytes(process: subprocess.Popen) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1_000


async def test_5000_idle_streams_cost_little_and_delay_nothing(edge_descriptors, edge_tools):
    async with server_process() as (process, port), AsyncExitStack() as streams:

        async def open_some(number: int) -> None:
            for _ in range(number):
                stream = await trio.open_tcp_stream("127.0.0.1", port)
                await streams.enter_async_context(stream)
                await request(stream, b"/events")
                await edge_tools.read_until(stream, b": hello\n\n\r\n")

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(open_some, IDLE // 50)

        assert resident_megabytes(process) <= 200
        times = []
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            for _ in range(1_000):
                began = time.perf_counter()
                await request(stream, b"/")
                await edge_tools.read_until(stream, b"ok")
                times.append(time.perf_counter() - began)
        p99 = sorted(times)[989]
        assert p99 <= 0.025

        seconds = await stop(process)
        assert seconds <= GRACE + 2


async def test_100_clients_that_never_read_do_not_delay_the_stop(edge_tools):
    async with server_process() as (process, port), AsyncExitStack() as streams:
        for _ in range(100):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await streams.enter_async_context(stream)
            await request(stream, b"/flood")
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await request(stream, b"/")
            await edge_tools.read_until(stream, b"ok")
        seconds = await stop(process)
        assert seconds <= GRACE + 2


async def test_an_idle_server_stops_at_once():
    async with server_process() as (process, _):
        assert await stop(process) <= 1


async def test_slowlorises_are_all_closed_and_their_descriptors_come_back(edge_serve, edge_tools):
    server = await edge_serve(head_timeout=0.5, max_connections=400)
    async with AsyncExitStack() as streams:
        lorises = []
        for _ in range(300):
            stream = await trio.open_tcp_stream("127.0.0.1", server.port)
            lorises.append(await streams.enter_async_context(stream))
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        for stream in lorises:
            with trio.fail_after(5):
                assert b" 408 " in await edge_tools.read_all(stream)


async def test_the_fuzzer_finds_nothing_in_its_short_form():
    command = [sys.executable, "scripts/fuzz_http.py", "--inputs", "8000", "--seed", "7"]
    completed = await trio.run_process(
        command, capture_stdout=True, capture_stderr=True, check=False, cwd=REPOSITORY
    )
    assert completed.returncode == 0, completed.stderr.decode()[-3_000:]
