"""The only place that opens sockets for jobs: a webhook reaches the public internet, no more.

Whoever may enqueue a job may name any URL, and this process stands inside somebody's network. So
a name is resolved once, refused unless *every* address of it is public, and connected to by the
address that was checked; a second lookup could answer differently (DNS rebinding). The name stays
in the Host header and in TLS. No proxies, no redirects, no cookies.

The operator opens private targets with the setting `webhook_allow`.
"""

import re
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpcore
import httpx
import trio

from .errors import ConfigError, Fail

CONNECT_EACH = 5.0
"""Seconds that one of several addresses may take, so that a dead one leaves time for the next."""

Address = IPv4Address | IPv6Address

# Our own table: `ipaddress.is_global` lets NAT64, 6to4, IPv4-mapped, multicast and site-local
# addresses pass, and changes between Python releases. From the IANA special-purpose registries.
_REFUSED: dict[str, tuple[str, ...]] = {
    "unspecified": ("0.0.0.0/8", "::/128"),
    "loopback": ("127.0.0.0/8", "::1/128"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
    "shared (carrier-grade NAT)": ("100.64.0.0/10",),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
    "cloud platform": ("168.63.129.16/32",),  # Azure's host agent, inside a public range
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "IPv4-mapped": ("::ffff:0:0/96", "::ffff:0:0:0/96"),
    "IPv4-compatible": ("::/96",),
    "NAT64": ("64:ff9b::/96", "64:ff9b:1::/48"),
    "6to4": ("2002::/16", "192.88.99.0/24"),
    "Teredo": ("2001::/32",),
    "benchmarking": ("198.18.0.0/15", "2001:2::/48"),
    "documentation": (
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001:db8::/32",
        "3fff::/20",
    ),
    "protocol assignment": ("192.0.0.0/24", "2001::/23"),
    "reserved": ("240.0.0.0/4",),
}
_REFUSED_NETWORKS = [
    (word, ip_network(network)) for word, networks in _REFUSED.items() for network in networks
]
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # all that IANA has given out of IPv6 so far


def address_class(address: Address) -> str | None:
    """Why `address` is not public, in a word or two ("loopback"); None when it is."""
    for word, network in _REFUSED_NETWORKS:
        if address in network:
            return word
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return "reserved"
    return None


@dataclass(frozen=True, slots=True)
class AllowList:
    """Private targets that webhooks may reach all the same."""

    names: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> "AllowList":
        """From addresses, networks (`10.1.0.0/16`) and exact names; ConfigError for neither."""
        names, networks = [], []
        for entry in entries:
            try:
                networks.append(ip_network(entry))
            except ValueError as error:
                if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?", entry):
                    raise ConfigError(f"webhook_allow: {error}") from None
                names.append(_plain(entry))
        return cls(frozenset(names), tuple(networks))

    def opens(self, host: str, address: Address) -> bool:
        """Whether the operator wants `address`, reached by the name `host`, to be reached."""
        return _plain(host) in self.names or any(address in network for network in self.networks)


def _plain(name: str) -> str:
    return name.lower().rstrip(".")


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects like httpcore on Trio, but only to addresses that are public or allowed."""

    def __init__(self, allow: AllowList) -> None:
        self._allow = allow
        self._trio = httpcore.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolves `host` once, then tries its addresses in order.

        Raises Fail when one of them is not public, without saying which it is: the answer must
        not map the network for whoever asks.
        """
        addresses = await _resolve(host, port)
        for address in addresses:
            word = address_class(address)
            if word is not None and not self._allow.opens(host, address):
                raise Fail(
                    f"The URL leads to a {word} address, which webhooks may not reach. "
                    "The operator can open it with the setting webhook_allow."
                )
        failure: Exception = httpcore.ConnectError("the name has no address")
        for place, address in enumerate(addresses, 1):
            limit = timeout if place == len(addresses) else CONNECT_EACH
            try:
                return await self._trio.connect_tcp(
                    str(address), port, limit, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


async def _resolve(host: str, port: int) -> list[Address]:
    try:
        found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"the name does not resolve: {error}") from error
    return list(dict.fromkeys(ip_address(sockaddr[0]) for *_, sockaddr in found))


class EgressTransport(httpx.AsyncBaseTransport):
    """httpx's way to httpcore, with our network backend in it.

    `httpx.AsyncHTTPTransport` does the same, but cannot be given a backend.
    """

    def __init__(self, allow: AllowList, tls: ssl.SSLContext) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls, network_backend=CheckedBackend(allow), http1=True, http2=False
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        with _as_httpx_errors():
            response = await self._pool.handle_async_request(
                httpcore.Request(
                    request.method,
                    url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._response.stream, AsyncIterable)  # noqa: S101 - for the type checker
        with _as_httpx_errors():
            async for part in self._response.stream:
                yield part

    async def aclose(self) -> None:
        await self._response.aclose()


@contextmanager
def _as_httpx_errors() -> Iterator[None]:
    """httpcore's exceptions as httpx's of the same name."""
    try:
        yield
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.UnsupportedProtocol,
    ) as error:
        kind = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error)) from error


class Egress:
    """The way out for jobs; one per process."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        """`allow` is the setting `webhook_allow`; ConfigError when it cannot be read."""
        self._allow = AllowList.parse(allow)
        self._tls: ssl.SSLContext | None = None

    async def client(self) -> httpx.AsyncClient:
        """A fresh client with no memory of other requests; to be used with `async with`.

        It has no timeouts of its own: put it in a cancel scope.
        """
        if self._tls is None:  # 60 ms of reading certificates: not in the event loop
            self._tls = await trio.to_thread.run_sync(_trusted)
        return httpx.AsyncClient(
            transport=EgressTransport(self._allow, self._tls),
            headers={"Accept-Encoding": "identity", "Connection": "close"},
            follow_redirects=False,
            trust_env=False,
            timeout=None,  # noqa: S113 - the caller's one deadline covers everything
        )


def _trusted() -> ssl.SSLContext:
    """Mozilla's authorities, and the system's, which may include the operator's own."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context
