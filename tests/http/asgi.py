"""The API without sockets: the real service on a real file, asked through its ASGI interface."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import trio

from trio_jobs.builtin import handlers
from trio_jobs.config import Settings
from trio_jobs.http.answer import RequestIds
from trio_jobs.http.app import create_quart
from trio_jobs.http.hot import ASGI, HotPath
from trio_jobs.registry import Registry
from trio_jobs.service import Service
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


class Api:
    """Asks one ASGI app; `body` may be given in pieces, as it would come over a slow line."""

    def __init__(self, app: ASGI, service: Service) -> None:
        self._app = app
        self.service = service

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | Sequence[bytes] = b"",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        path, _, query = path.partition("?")
        pieces = [body] if isinstance(body, bytes) else list(body)
        messages = [
            {"type": "http.request", "body": piece, "more_body": at < len(pieces) - 1}
            for at, piece in enumerate(pieces)
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            await trio.lowlevel.checkpoint()
            if not messages:
                await trio.sleep_forever()
            return messages.pop(0)

        async def send(message: dict[str, Any]) -> None:
            await trio.lowlevel.checkpoint()
            sent.append(message)

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
        await self._app(scope, receive, send)
        start = sent[0]
        answered = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Reply(start["status"], answered, content)

    async def post(self, job: object) -> Reply:
        return await self.ask("POST", "/jobs", json.dumps(job).encode(), JSON)


JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def opened(
    directory: Path, way: str, settings: Settings | None = None, *, worker: bool = False
) -> AsyncIterator[Api]:
    """`way` is "hot" (the whole app) or "quart" (the routes alone)."""
    settings = settings or Settings(data_dir=str(directory / "data"))
    registry = Registry(handlers(settings))
    store = SqliteStore(directory / f"{way}.db", run_sync=in_place)

    service = Service(store, registry, settings, now=now)
    request_ids = RequestIds()
    app: Any = create_quart(service, settings, request_ids)
    if way == "hot":
        app = HotPath(app, service, settings, request_ids)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        runner = Worker(store, registry, settings, now=now, heartbeat=False)
        if worker:
            await nursery.start(runner.run)
        yield Api(app, service)
        if worker:
            runner.quiet()
            await runner.drained.wait()
        store.close()
