"""The API without sockets: the real service on a real file, asked through its ASGI interface."""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import trio

from trio_jobs.builtin import handlers
from trio_jobs.config import Settings
from trio_jobs.http.answer import RequestIds
from trio_jobs.http.app import create_quart
from trio_jobs.http.asgi import ASGI
from trio_jobs.http.gate import Gate
from trio_jobs.http.hot import HotPath
from trio_jobs.maintenance import Maintenance
from trio_jobs.metrics import Metrics
from trio_jobs.registry import Handler, Registry
from trio_jobs.service import Callbacks, Service
from trio_jobs.storage.sqlite import SqliteStore
from trio_jobs.worker import Worker

from ..conftest import in_place, now


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Event(NamedTuple):
    name: str
    id: int | None
    data: Any

    @classmethod
    def parse(cls, block: str) -> "Event":
        if block.startswith(":"):
            return cls("ping", None, None)
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        return cls(fields["event"], int(fields["id"]), json.loads(fields["data"]))


class Conversation:
    """A request that is being answered: what has come so far, and a way to leave."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._messages = [
            {"type": "http.request", "body": piece, "more_body": at < len(pieces) - 1}
            for at, piece in enumerate(pieces)
        ]
        self.sent: list[dict[str, Any]] = []
        self.over = False
        self._left = trio.Event()
        self._news = trio.Event()
        self._taken = 0

    def leave(self) -> None:
        """The client goes away."""
        self._left.set()

    async def receive(self) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        if not self._messages:
            await self._left.wait()
            return {"type": "http.disconnect"}
        return self._messages.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.append(message)
        self._hear()

    def _hear(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def end(self) -> None:
        self.over = True
        self._hear()

    @property
    def reply(self) -> Reply:
        start = self.sent[0]
        answered = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        content = b"".join(message.get("body", b"") for message in self.sent[1:])
        return Reply(start["status"], answered, content)

    async def event(self) -> Event:
        """The next Server-Sent Event; its name is "ping" for a comment, "" at the end."""
        while True:
            blocks = self.reply.body.split(b"\n\n")[:-1] if self.sent else []
            if self._taken < len(blocks):
                self._taken += 1
                return Event.parse(blocks[self._taken - 1].decode())
            if self.over:
                return Event("", None, None)
            await self._news.wait()


class Api:
    """Asks one ASGI app; `body` may be given in pieces, as it would come over a slow line."""

    def __init__(self, app: ASGI, service: Any = None, store: Any = None) -> None:
        self._app = app
        self.service = service
        self.store = store

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | Sequence[bytes] = b"",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        async with self.asking(method, path, body, headers) as conversation:
            pass
        return conversation.reply

    @asynccontextmanager
    async def asking(
        self,
        method: str,
        path: str,
        body: bytes | Sequence[bytes] = b"",
        headers: dict[str, str] | None = None,
    ) -> AsyncIterator[Conversation]:
        """The conversation while it goes on; leaving the block waits for its end."""
        path, _, query = path.partition("?")
        pieces = [body] if isinstance(body, bytes) else list(body)
        given = {"host": "localhost", "content-length": str(sum(map(len, pieces)))}
        given |= {name.lower(): value for name, value in (headers or {}).items()}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8080),
            "state": {},
            "extensions": {},
        }
        conversation = Conversation(pieces)

        async def run() -> None:
            await self._app(scope, conversation.receive, conversation.send)
            conversation.end()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            yield conversation

    async def get(self, path: str) -> Any:
        """The JSON of a 200."""
        reply = await self.ask("GET", path)
        assert reply.status == 200, reply.body
        return reply.json

    async def post(self, job: object) -> Reply:
        return await self.ask("POST", "/jobs", json.dumps(job).encode(), JSON)


JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}


@asynccontextmanager
async def opened(
    directory: Path,
    way: str = "hot",
    settings: Settings | None = None,
    *,
    worker: bool = False,
    more: Iterable[Handler] = (),
) -> AsyncIterator[Api]:
    """`way` is "hot" (the whole app) or "quart" (the routes alone)."""
    settings = settings or Settings(data_dir=str(directory / "data"))
    registry = Registry([*handlers(settings), *more])
    metrics = Metrics(registry.types)
    store = SqliteStore(
        directory / f"{way}.db", callback=Callbacks(settings), run_sync=in_place, metrics=metrics
    )
    runner = Worker(store, registry, settings, now=now, heartbeat=False, metrics=metrics)
    hands = runner.hands if worker else lambda: None
    service = Service(store, registry, settings, now=now, hands=hands, metrics=metrics)
    request_ids = RequestIds()
    app: Any = create_quart(service, settings, request_ids)
    if way == "hot":
        app = HotPath(app, service, settings, request_ids)
        app = Gate(app, service, settings, request_ids)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        await nursery.start(service.watch.run)
        await nursery.start(service.working.run)
        if worker:
            await nursery.start(runner.run)
            await nursery.start(Maintenance(store, settings, now=now, metrics=metrics).run)
        yield Api(app, service, store)
        service.drain()
        if worker:
            runner.quiet()
            await runner.drained.wait()
        nursery.cancel_scope.cancel()
