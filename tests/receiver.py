"""Somebody's server on loopback, for what goes out to the world."""

import h11
import trio


class Server:
    """Answers every request with `answer` and remembers requests and connections."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.requests: list[tuple[h11.Request, bytes]] = []
        self.closed = trio.Event()
        self.port = 0
        self._came = trio.Event()

    async def until(self, count: int) -> None:
        """So many requests have come."""
        while len(self.requests) < count:
            await self._came.wait()

    def url(self, path: str = "/hook?x=1") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.requests[-1][0].headers}

    async def run(self, *, task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED) -> None:
        """On a port of loopback, until cancelled."""
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        await trio.serve_listeners(self.handle, [listener], task_status=task_status)

    async def handle(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        body = bytearray()
        request = None
        try:
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await stream.receive_some())
                elif isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.Data):
                    body += event.data
                else:
                    break
            if request is not None:
                self.requests.append((request, bytes(body)))
                self._came.set()
                self._came = trio.Event()
                await stream.send_all(self.answer)
                await stream.receive_some()  # until the other side closes
        except trio.BrokenResourceError:
            pass
        finally:
            self.closed.set()


def reply(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
