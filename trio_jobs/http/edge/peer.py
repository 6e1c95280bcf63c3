"""Who is at the other end of a connection, as the app's scope tells it."""

from typing import Any

import trio
from hypercorn.utils import parse_socket_addr

from .head import RequestHead
from .proxies import TrustedProxies, counted_address

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Peer:
    """The two ends of a stream. Raises OSError when the client has gone already.

    `counted_as` is the address that the limit of connections counts; None is not counted:
    Unix sockets, and the trusted proxies, behind which there are many.
    """

    __slots__ = ("_client", "_proxies", "_scheme", "_server", "_trusted", "counted_as")

    def __init__(self, stream: Stream, proxies: TrustedProxies) -> None:
        if isinstance(stream, trio.SSLStream):
            self._scheme, socket = "https", stream.transport_stream.socket
        else:
            self._scheme, socket = "http", stream.socket
        self._client = parse_socket_addr(socket.family, socket.getpeername())
        self._server = parse_socket_addr(socket.family, socket.getsockname())
        self._proxies = proxies
        self._trusted = proxies.trusts(self._client)
        self.counted_as = None if self._trusted else counted_address(self._client)

    def scope(self, head: RequestHead, state: dict[str, Any]) -> dict[str, Any]:
        """The ASGI scope of a request from this peer."""
        client, scheme = self._client, self._scheme
        if self._trusted:
            client, scheme = self._proxies.origin(head.headers, client, scheme)
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": head.http_version,
            "method": head.method,
            "scheme": scheme,
            "path": head.path,
            "raw_path": head.raw_path,
            "query_string": head.query_string,
            "root_path": "",
            "headers": head.headers,
            "client": client,
            "server": self._server,
            "state": state.copy(),
            "extensions": {},
        }
