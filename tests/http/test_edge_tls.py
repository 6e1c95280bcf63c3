"""TLS serves HTTP/1.1 with the same class, and HTTP/2 with hypercorn's behind a rail."""

import json
import shutil
import ssl
import subprocess

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
import trio

GET = b"GET /scope HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /scope HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="needs the openssl command")


@pytest.fixture(scope="module")
def edge_certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    command += (
        f" -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout {key} -out {cert}"
    )
    subprocess.run(command.split(), check=True, capture_output=True, timeout=30)
    return {"tls_cert": str(cert), "tls_key": str(key)}


def context_for(certificate, *protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate["tls_cert"])
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


async def open_tls(server, certificate, *protocols) -> trio.SSLStream:
    return await trio.open_ssl_over_tcp_stream(
        "localhost",
        server.port,
        ssl_context=context_for(certificate, *protocols),
        https_compatible=True,
    )


@pytest.mark.parametrize("protocols", [(), ("http/1.1",)])
async def test_http_1_1_over_tls(protocols, edge_serve, edge_certificate, edge_tools):
    server = await edge_serve(**edge_certificate)
    with edge_tools.gather():
        stream = await open_tls(server, edge_certificate, *protocols)
        await stream.send_all(
            GET + b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"
        )
        await stream.send_all(b"x" * 200_000 + LAST)
        answer = await edge_tools.read_all(stream)
        await stream.aclose()
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(b"x") >= 200_000
    assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["scheme"] == "https"


async def test_a_long_poll_over_tls_is_cancelled_when_its_client_goes(
    edge_serve, edge_certificate, edge_tools
):
    cancelled = trio.Event()

    async def app(scope, receive, send):
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        cancelled.set()

    server = await edge_serve(app, **edge_certificate)
    with edge_tools.gather():
        stream = await open_tls(server, edge_certificate)
        await stream.send_all(GET)
        await trio.testing.wait_all_tasks_blocked()
        await stream.aclose()
        await cancelled.wait()


async def test_a_tls_client_that_does_not_read_is_dropped(edge_serve, edge_certificate, edge_tools):
    cancelled = trio.Event()

    async def app(scope, receive, send):
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                body = b"x" * 1_000_000
                await send({"type": "http.response.body", "body": body, "more_body": True})
        finally:
            cancelled.set()

    server = await edge_serve(app, send_timeout=0.2, **edge_certificate)
    with edge_tools.gather():
        stream = await open_tls(server, edge_certificate)
        await stream.send_all(GET)
        await cancelled.wait()
        await trio.aclose_forcefully(stream)


@pytest.mark.parametrize("greeting", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello"])
async def test_a_handshake_that_fails_ends_its_connection_only(
    greeting, edge_serve, edge_certificate, edge_tools, caplog
):
    server = await edge_serve(head_timeout=0.2, **edge_certificate)
    async with server.connect() as stream:
        if greeting:
            await stream.send_all(greeting)
        await edge_tools.read_all(stream)
    stream = await open_tls(server, edge_certificate)
    await stream.send_all(LAST)
    assert b"200 OK" in await edge_tools.read_all(stream)
    await stream.aclose()
    assert caplog.text == ""


async def test_a_handshake_in_progress_does_not_delay_the_stop(
    edge_serve, edge_certificate, edge_tools
):
    server = await edge_serve(shutdown_grace=60, **edge_certificate)
    async with server.connect():
        await trio.testing.wait_all_tasks_blocked()
        server.shutdown.set()
        with edge_tools.gather():
            await server.stopped.wait()


async def test_http_2_over_tls(edge_serve, edge_certificate, edge_tools):
    server = await edge_serve(max_body=1000, **edge_certificate)
    verify = context_for(edge_certificate)
    async with httpx.AsyncClient(http2=True, verify=verify, trust_env=False) as client:
        with edge_tools.gather():
            url = f"https://localhost:{server.port}"
            response = await client.get(f"{url}/scope")
            assert response.http_version == "HTTP/2"
            assert response.json()["http_version"] == "2"
            assert "server" not in response.headers
            assert (await client.post(f"{url}/echo", content=b"hi")).content == b"hi"
            response = await client.post(f"{url}/echo", content=b"x" * 1001)
            assert response.status_code == 413
            assert response.json()["type"] == "/problems/body-too-large"
            for _ in range(10):  # an answer before the end of the body, on the same connection
                response = await client.post(f"{url}/", content=b"x" * 900)
                assert response.text == "ok"


async def http_2(server, certificate) -> tuple[trio.SSLStream, h2.connection.H2Connection]:
    stream = await open_tls(server, certificate, "h2")
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    await stream.send_all(connection.data_to_send())
    return stream, connection


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0" * 100,
        b"\xff" * 100,
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\4\1\5\0\0\0\1\xff\xff\xff\xff",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + b"\0\0\0\0\0\0\0\0\1",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_broken_http_2_ends_its_connection_only(
    garbage, edge_serve, edge_certificate, edge_tools, caplog
):
    server = await edge_serve(**edge_certificate)
    with edge_tools.gather():
        stream = await open_tls(server, edge_certificate, "h2")
        await stream.send_all(garbage)
        await edge_tools.read_all(stream)
        await trio.aclose_forcefully(stream)
        stream = await open_tls(server, edge_certificate)
        await stream.send_all(LAST)
        assert b"200 OK" in await edge_tools.read_all(stream)
        await stream.aclose()


async def test_a_websocket_over_http_2_is_refused(edge_serve, edge_certificate, edge_tools):
    heard = []

    async def app(scope, receive, send):
        heard.append(scope["type"])

    server = await edge_serve(app, **edge_certificate)
    with edge_tools.gather():
        stream, connection = await http_2(server, edge_certificate)
        headers = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":path", "/"),
            (":authority", "localhost"),
            ("sec-websocket-version", "13"),
        ]
        connection.send_headers(1, headers)
        await stream.send_all(connection.data_to_send())
        status = None
        while status is None:
            for event in connection.receive_data(await stream.receive_some()):
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[b":status"]
        assert status == b"403"
        await trio.aclose_forcefully(stream)
    assert heard == []


@pytest.mark.parametrize("send_timeout", [30, 0.2])
async def test_an_http_2_client_that_does_not_read_delays_nothing(
    send_timeout, edge_serve, edge_certificate, edge_tools
):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            body = b"x" * 100_000
            await send({"type": "http.response.body", "body": body, "more_body": True})

    server = await edge_serve(
        app, send_timeout=send_timeout, shutdown_grace=0.5, **edge_certificate
    )
    with edge_tools.gather():
        stream, connection = await http_2(server, edge_certificate)
        connection.increment_flow_control_window(2**30)
        connection.update_settings({4: 2**30})
        headers = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a")]
        connection.send_headers(1, headers, end_stream=True)
        await stream.send_all(connection.data_to_send())
        await trio.sleep(0.5)  # until its buffers are full
        server.shutdown.set()
        with trio.fail_after(2):
            await server.stopped.wait()
        await trio.aclose_forcefully(stream)
