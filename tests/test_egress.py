"""Where webhooks can get to, and where not."""

import socket
import ssl
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from trio_jobs.egress import AllowList, Egress, EgressTransport, address_class
from trio_jobs.errors import ConfigError, Fail

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:82a::200e",
    "2001:4860:4860::8888",
    "2001:200::1",
    "2003::1",
]
NOT_PUBLIC = {
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fec0::1"],
    "shared (carrier-grade NAT)": ["100.64.0.1", "100.127.255.255", "100.100.100.200"],
    "link-local": ["169.254.169.254", "fe80::1", "fe80::1%1"],
    "cloud platform": ["168.63.129.16"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "IPv4-mapped": ["::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:10.0.0.1"],
    "IPv4-compatible": ["::127.0.0.1", "::8.8.8.8"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b:1::a00:1"],
    "6to4": ["2002:7f00:1::", "2002:808:808::1", "192.88.99.1"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "benchmarking": ["198.18.0.1", "198.19.255.255", "2001:2::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "protocol assignment": ["192.0.0.1", "192.0.0.192", "2001:20::1", "2001:10::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "100::1", "4000::1", "5f00::1", "1::1"],
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(address: str) -> None:
    assert address_class(ip_address(address)) is None


@pytest.mark.parametrize(
    ("word", "address"), [(word, each) for word, some in NOT_PUBLIC.items() for each in some]
)
def test_no_special_address_passes_for_public(word: str, address: str) -> None:
    assert address_class(ip_address(address)) == word


@given(st.integers(0, 2**32 - 1))
def test_no_ipv4_address_hides_in_an_ipv6_one(number: int) -> None:
    prefixes = ["::ffff:0:0", "::ffff:0:0:0", "::", "64:ff9b::", "64:ff9b:1::"]
    for prefix in prefixes:
        assert address_class(IPv6Address(int(IPv6Address(prefix)) | number)) is not None
    assert address_class(IPv6Address(int(IPv6Address("2002::")) | number << 80)) == "6to4"


@given(st.ip_addresses())
def test_python_never_knows_better(address: IPv4Address | IPv6Address) -> None:
    if not address.is_global or address.is_multicast:
        assert address_class(address) is not None


def test_an_allow_list_opens_exactly_what_it_names() -> None:
    allow = AllowList.parse(["10.1.0.0/16", "::1", "intra.lan", "192.168.0.7"])
    assert allow.opens("anything", ip_address("10.1.2.3"))
    assert allow.opens("anything", ip_address("::1"))
    assert allow.opens("INTRA.lan.", ip_address("172.16.0.1"))
    assert allow.opens("x", ip_address("192.168.0.7"))
    assert not allow.opens("x", ip_address("10.2.0.1"))
    assert not allow.opens("x", ip_address("::ffff:10.1.2.3"))
    assert not allow.opens("evil.intra.lan", ip_address("172.16.0.1"))


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "10.0.0.0/33", "http://intra.lan", "a b", "*"])
def test_a_misspelt_allow_list_is_not_taken_for_a_name(entry: str) -> None:
    with pytest.raises(ConfigError, match="webhook_allow"):
        AllowList.parse([entry])


class Resolver(trio.abc.HostnameResolver):
    """Answers from a list, one answer per look-up: the last word on DNS rebinding."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def getaddrinfo(self, host: Any, port: Any, *_: Any, **__: Any) -> Any:
        if not self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in self.answers.pop(0)
        ]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


async def _get(egress: Egress, url: str) -> httpx.Response:
    async with await egress.client() as client:
        return await client.get(url)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "0x7f.0.0.1", "2130706433", "017700000001", "[::1]", "[::ffff:7f00:1]"],
)
async def test_no_spelling_of_loopback_gets_through(host: str) -> None:
    with pytest.raises(Fail, match=r"(loopback|IPv4-mapped) address.*webhook_allow"):
        await _get(Egress(), f"http://{host}:1/")


@pytest.mark.parametrize(
    "answer", [["93.184.216.34", "10.0.0.7"], ["fe80::1", "93.184.216.34"], ["169.254.169.254"]]
)
async def test_one_private_address_among_public_ones_is_enough_to_refuse(answer: list[str]) -> None:
    trio.socket.set_custom_hostname_resolver(Resolver(answer))
    with pytest.raises(Fail) as refused:
        await _get(Egress(), "http://hooks.test/")
    assert not any(address in str(refused.value) for address in answer)


async def serve_once(
    nursery: trio.Nursery, answer: bytes, wrap: Callable[[Any], Any] = lambda stream: stream
) -> tuple[int, list[bytes]]:
    """A server on loopback; its port, and a list of the request heads that it got."""
    heads: list[bytes] = []

    async def handle(stream: trio.SocketStream) -> None:
        wrapped = wrap(stream)
        head = b""
        try:
            while b"\r\n\r\n" not in head:
                part = await wrapped.receive_some()
                if not part:
                    return
                head += part
            heads.append(head)
            await wrapped.send_all(answer)
        except trio.BrokenResourceError:
            pass

    serve = partial(trio.serve_tcp, host="127.0.0.1")
    listeners = await nursery.start(serve, handle, 0)
    return listeners[0].socket.getsockname()[1], heads


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_the_name_is_looked_up_once_and_the_checked_address_is_connected(
    nursery: trio.Nursery,
) -> None:
    port, heads = await serve_once(nursery, OK)
    resolver = Resolver(["127.0.0.1"])
    trio.socket.set_custom_hostname_resolver(resolver)
    answer = await _get(Egress(["hooks.test"]), f"http://hooks.test:{port}/x")
    assert answer.text == "ok"
    assert resolver.answers == []  # a second look-up would have failed
    assert f"Host: hooks.test:{port}\r\n".encode() in heads[0]
    nursery.cancel_scope.cancel()


async def test_a_dead_address_does_not_hide_a_live_one(nursery: trio.Nursery) -> None:
    port, _ = await serve_once(nursery, OK)
    trio.socket.set_custom_hostname_resolver(Resolver(["127.0.0.2", "127.0.0.1"]))
    assert (await _get(Egress(["127.0.0.0/8"]), f"http://hooks.test:{port}/")).text == "ok"
    nursery.cancel_scope.cancel()


async def test_proxies_of_the_environment_are_not_asked(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    port, _ = await serve_once(nursery, OK)
    assert (await _get(Egress(["127.0.0.1"]), f"http://127.0.0.1:{port}/")).text == "ok"
    nursery.cancel_scope.cancel()


async def test_an_unknown_name_is_a_connection_error() -> None:
    trio.socket.set_custom_hostname_resolver(Resolver())
    with pytest.raises(httpx.ConnectError, match="does not resolve"):
        await _get(Egress(), "http://hooks.test/")


@pytest.mark.parametrize("url", ["ftp://93.184.216.34/", "file:///etc/passwd", "gopher://x/"])
async def test_nothing_but_http_leaves(url: str) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        await _get(Egress(), url)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", httpx.RemoteProtocolError),
        (b"SSH-2.0-OpenSSH\r\n\r\n", httpx.RemoteProtocolError),
    ],
)
async def test_errors_of_the_connection_are_httpx_errors(
    nursery: trio.Nursery, answer: bytes, error: type[Exception]
) -> None:
    port, _ = await serve_once(nursery, answer)
    with pytest.raises(error):
        await _get(Egress(["127.0.0.1"]), f"http://127.0.0.1:{port}/")
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", ["hooks.test", "other.test"])
async def test_tls_checks_the_name_of_the_url_and_not_the_address(
    nursery: trio.Nursery, certificate: tuple[Path, Path], name: str
) -> None:
    asked: list[str | None] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*certificate)
    server.sni_callback = lambda _object, name, _context: asked.append(name)

    def wrap(stream: trio.SocketStream) -> trio.SSLStream[trio.SocketStream]:
        return trio.SSLStream(stream, server, server_side=True, https_compatible=True)

    port, _ = await serve_once(nursery, OK, wrap)
    trio.socket.set_custom_hostname_resolver(Resolver(["127.0.0.1"]))
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    transport = EgressTransport(AllowList.parse(["127.0.0.1"]), trusting)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        if name == "hooks.test":
            assert (await client.get(f"https://{name}:{port}/")).text == "ok"
        else:
            with pytest.raises(httpx.ConnectError):
                await client.get(f"https://{name}:{port}/")
    assert asked == [name]
    nursery.cancel_scope.cancel()
