"""Which proxies are believed when they say who the client is."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from ...errors import ConfigError

Client = tuple[str, int] | None


class TrustedProxies:
    """Networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.

    The word `unix` among them trusts whoever connects to a Unix socket.
    Raises ConfigError for a text that is not a network.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        texts = set(networks)
        self._unix = "unix" in texts
        try:
            self._networks = [ip_network(text, strict=False) for text in texts - {"unix"}]
        except ValueError as error:
            raise ConfigError(f"trusted_proxies: {error}") from None

    def trusts(self, client: Client) -> bool:
        """Is this peer one of ours? None is the peer of a Unix socket."""
        if client is None:
            return self._unix
        address = _address(client[0])
        return address is not None and any(address in network for network in self._networks)

    def origin(
        self, headers: Iterable[tuple[bytes, bytes]], client: Client, scheme: str
    ) -> tuple[Client, str]:
        """The client and the scheme as a trusted peer reports them.

        The client is the last address in the chain that is not itself a trusted proxy: what
        stands before it was written by whoever that is. Its port is not known (0).
        """
        chain: list[str] = []
        for name, value in headers:
            if name == b"x-forwarded-for":
                chain += value.decode("latin-1").split(",")
            elif name == b"x-forwarded-proto":
                last = value.lower().rpartition(b",")[2].strip()
                if last in (b"http", b"https"):
                    scheme = last.decode()
        for text in reversed(chain):
            address = _address(text.strip())
            if address is None:
                break
            client = (str(address), 0)
            if not self.trusts(client):
                break
        return client, scheme


def counted_address(client: Client) -> str | None:
    """What counts as one address: an IPv6 client has a whole /64. None is not counted."""
    if client is None:
        return None
    address = _address(client[0].partition("%")[0])
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.removeprefix("[").partition("]")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
