"""Clients of all sorts talk to it, over TCP and Unix sockets, through proxies, and are logged."""

import http.client
import json
import logging
import shutil
import threading
from functools import partial

import httpx
import pytest
import trio

from trio_jobs.config import Settings
from trio_jobs.errors import ConfigError
from trio_jobs.http.edge import serve
from trio_jobs.http.edge.access_log import AccessLog
from trio_jobs.http.edge.proxies import TrustedProxies, counted_address

LAST = b"GET %b HTTP/1.1\r\nHost: a\r\n%bConnection: close\r\n\r\n"


async def run(*command: str) -> str:
    completed = await trio.run_process(
        command, capture_stdout=True, capture_stderr=True, check=False
    )
    assert completed.returncode == 0, completed.stderr.decode()
    return completed.stdout.decode()


async def test_http_client(edge_server):
    def talk() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", edge_server.port, timeout=5)
        for path, body in [("/", b"ok"), ("/stream", b"onetwothree")]:
            connection.request("GET", path)
            assert connection.getresponse().read() == body
        connection.request("HEAD", "/")
        assert connection.getresponse().read() == b""
        connection.request("POST", "/echo", body=b"x" * 300_000)
        assert connection.getresponse().read() == b"x" * 300_000
        pieces = iter([b"one", b"two"])
        connection.request("POST", "/echo", body=pieces, encode_chunked=True)
        assert connection.getresponse().read() == b"onetwo"
        connection.request("GET", "/status/204")
        response = connection.getresponse()
        assert (response.status, response.read()) == (204, b"")
        connection.request("POST", "/echo", headers={"Content-Length": "9999999"})
        response = connection.getresponse()
        assert (response.status, response.headers["connection"]) == (413, "close")
        connection.close()

    await trio.to_thread.run_sync(talk)


async def test_httpx(edge_server, edge_tools):
    async def pieces():
        yield b"one"
        yield b"two"

    async with httpx.AsyncClient(base_url=edge_server.url, trust_env=False) as client:
        with edge_tools.gather():
            for _ in range(3):
                assert (await client.get("/")).text == "ok"
            assert (await client.get("/stream")).text == "onetwothree"
            assert (await client.post("/echo", content=pieces())).text == "onetwo"
            assert (await client.head("/")).headers["content-length"] == "2"
            assert (await client.get("/%C3%A4?a=b")).status_code == 200
            assert (await client.get("/boom")).status_code == 500
            assert (await client.get("/")).text == "ok"


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
async def test_curl(edge_server, tmp_path, edge_tools):
    body = tmp_path / "body"
    body.write_bytes(b"x" * 900_000)
    curl = partial(run, "curl", "-sS", "--max-time", "5", "--noproxy", "*")
    url = edge_server.url
    with edge_tools.gather():
        assert await curl(url, f"{url}/stream", url) == "okonetwothreeok"
        assert await curl("--http1.0", f"{url}/stream") == "onetwothree"
        assert "HTTP/1.1 200" in await curl("-I", url)
        for more in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]):
            assert len(await curl(*more, "--data-binary", f"@{body}", f"{url}/echo")) == 900_000
        body.write_bytes(b"x" * 5_000_000)
        code = await curl("-o", "/dev/null", "-w", "%{http_code}", "-T", str(body), f"{url}/echo")
        assert code == "413"


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
async def test_node_fetch(edge_server):
    script = """
    const url = process.argv[1];
    const texts = await Promise.all([1, 2, 3].map(() => fetch(url).then(r => r.text())));
    const echo = await fetch(url + '/echo', {method: 'POST', body: 'x'.repeat(100000)});
    const stream = await fetch(url + '/stream');
    console.log(texts.join(), (await echo.text()).length, await stream.text());
    """
    out = await run("node", "--input-type=module", "-e", script, edge_server.url)
    assert out.strip() == "ok,ok,ok 100000 onetwothree"


async def test_a_unix_socket(edge_serve, tmp_path, edge_tools):
    path = tmp_path / "edge.sock"
    server = await edge_serve(bind=f"unix:{path}")
    with edge_tools.gather():
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(LAST % (b"/scope", b""))
            answer = await edge_tools.read_all(stream)
        scope = json.loads(answer.rpartition(b"\r\n\r\n")[2])
        assert (scope["client"], scope["server"]) == (None, None)
        with pytest.raises(OSError, match="another server"):
            await serve(None, Settings(bind=f"unix:{path}"))
        server.shutdown.set()
        await server.stopped.wait()
    assert not path.exists()


async def test_the_path_of_a_dead_unix_socket_is_taken_over(edge_serve, tmp_path, edge_tools):
    path = tmp_path / "edge.sock"
    with trio.socket.socket(trio.socket.AF_UNIX) as dead:
        await dead.bind(str(path))
    await edge_serve(bind=f"unix:{path}")
    async with await trio.open_unix_socket(path) as stream:
        await stream.send_all(LAST % (b"/", b""))
        assert (await edge_tools.read_all(stream)).endswith(b"ok")


@pytest.mark.parametrize("bind", ["localhost", "8080:", "localhost:http", "127.0.0.1:99999"])
async def test_an_address_that_is_none_is_a_config_error(bind):
    with pytest.raises(ConfigError, match="HOST:PORT"):
        await serve(None, Settings(bind=bind))


# -- proxies


@pytest.mark.parametrize(
    ("trusted", "headers", "client", "scheme"),
    [
        ((), b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n", "127.0.0.1", "http"),
        (("10.0.0.0/8",), b"X-Forwarded-For: 1.2.3.4\r\n", "127.0.0.1", "http"),
        (("127.0.0.1",), b"X-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4", "http"),
        (("127.0.0.1",), b"X-Forwarded-Proto: https\r\n", "127.0.0.1", "https"),
        (("127.0.0.1",), b"X-Forwarded-Proto: gopher\r\n", "127.0.0.1", "http"),
        (("127.0.0.1",), b"X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\n", "1.2.3.4", "http"),
        (
            ("127.0.0.0/8", "10.0.0.0/8"),
            b"X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\nX-Forwarded-For: 10.0.0.7\r\n",
            "1.2.3.4",
            "http",
        ),
        (("127.0.0.1",), b"X-Forwarded-For: ::ffff:1.2.3.4\r\n", "1.2.3.4", "http"),
        (("127.0.0.1",), b"X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1", "http"),
        (("127.0.0.1",), b"X-Forwarded-For: 1.2.3.4, unknown\r\n", "127.0.0.1", "http"),
        (("127.0.0.1",), b"X-Forwarded-For:\r\n", "127.0.0.1", "http"),
    ],
)
async def test_only_a_trusted_proxy_may_say_who_the_client_is(
    trusted, headers, client, scheme, edge_serve
):
    server = await edge_serve(trusted_proxies=trusted)
    answer = await server.talk(LAST % (b"/scope", headers))
    scope = json.loads(answer.rpartition(b"\r\n\r\n")[2])
    assert (scope["client"][0], scope["scheme"]) == (client, scheme)


def test_a_unix_peer_is_trusted_by_name_only():
    headers = [(b"x-forwarded-for", b"1.2.3.4")]
    assert not TrustedProxies(["0.0.0.0/0"]).trusts(None)
    proxies = TrustedProxies(["unix"])
    assert proxies.trusts(None)
    assert proxies.origin(headers, None, "http") == (("1.2.3.4", 0), "http")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%lo", "fe80::2%lo", True),
    ],
)
def test_an_ipv6_client_cannot_take_each_place_with_another_address(one, other, same):
    assert (counted_address((one, 1)) == counted_address((other, 2))) == same


def test_a_network_that_is_none_is_a_config_error():
    with pytest.raises(ConfigError, match="trusted_proxies"):
        TrustedProxies(["10.0.0.0/99"])


# -- the access log


async def test_each_request_is_one_json_line(edge_serve, caplog, edge_tools):
    caplog.set_level(logging.INFO, "trio_jobs.access")
    server = await edge_serve(access_log=True)
    raw = b"GET /a%0A%22?token=secret HTTP/1.1\r\nHost: a\r\n\r\n"
    await server.talk(raw + LAST % (b"/stream", b""))
    await server.talk(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
    await server.talk(b"GET /boom HTTP/1.1\r\nHost: a\r\n\r\n")
    await server.talk(b"nonsense\r\n")
    server.shutdown.set()
    with edge_tools.gather():
        await server.stopped.wait()
    records = [record for record in caplog.records if record.name == "trio_jobs.access"]
    lines = [record.trio_jobs for record in records]
    assert [(x["path"], x["status"], x["bytes"]) for x in lines] == [
        ('/a\n"', 200, 2),
        ("/stream", 200, 11),
        ("/", 413, 0),
        ("/boom", 500, 0),
        (None, 400, 0),
    ]
    assert lines[0].keys() == {"client", "method", "path", "http", "status", "bytes", "ms"}
    assert "\n" not in records[0].message
    assert "secret" not in caplog.text


async def test_a_logger_that_blocks_stops_nothing(edge_serve, edge_tools, monkeypatch):
    release = threading.Event()
    lines: list[str] = []

    class Stuck(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            release.wait(10)
            lines.append(record.getMessage())

    monkeypatch.setattr("trio_jobs.http.edge.access_log.MOST_WAITING", 5)
    logger = logging.getLogger("trio_jobs.access")
    stuck = Stuck()
    logger.addHandler(stuck)
    monkeypatch.setattr(logger, "level", logging.INFO)
    try:
        server = await edge_serve(access_log=True)
        with edge_tools.gather():
            for _ in range(20):
                assert (await server.talk(LAST % (b"/", b""))).endswith(b"ok")
            server.shutdown.set()
            await server.stopped.wait()
    finally:
        release.set()
        logger.removeHandler(stuck)


async def test_dropped_lines_are_counted_in_the_next_one(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "trio_jobs.access")
    monkeypatch.setattr("trio_jobs.http.edge.access_log.MOST_WAITING", 1)
    log = AccessLog()
    for _ in range(3):
        log.line().end(400, 0)
    async with trio.open_nursery() as nursery:
        await nursery.start(log.run)
        nursery.cancel_scope.cancel()
    # The thread of another test may still have lines to write.
    [record] = [record for record in caplog.records if "no request" in record.getMessage()]
    assert record.trio_jobs["dropped"] == 2
