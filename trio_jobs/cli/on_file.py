"""Commands straight on the database: a visitor, beside whatever service has it."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

import msgspec
import trio

from ..builtin import handlers
from ..http import events, filters, history, jobs, ndjson, passing, tokens, views
from ..http.call import Call
from ..http.query import job_id
from ..http.types import type_view
from ..http.workers import remote_workers
from ..registry import Registry
from ..service import BulkAction, BulkProgress, BulkReport, Service
from ..storage.records import Page
from ..storage.remote import Directive
from .place import LOST, PAGE, Told
from .settings import load
from .visit import visit

T = TypeVar("T")


class OnFile:
    """See `place.Place`. Each call opens the database and leaves it again."""

    def __init__(self, url: str) -> None:
        self._settings, _ = load({"database": url})

    def enqueue(self, request: Mapping[str, Any]) -> Any:
        return self._create(msgspec.json.encode(request), "application/json")

    def upload(self, params: Mapping[str, Any], body: bytes) -> Any:
        return self._create(body, "application/octet-stream", urlencode(params).encode())

    def _create(self, body: bytes, content_type: str, query: bytes = b"") -> Any:
        headers = {b"content-type": content_type.encode()}

        async def work(service: Service) -> Any:
            call = self._call(service, headers=headers, body=body, query_string=query)
            return msgspec.Raw((await jobs.create(call)).body)

        return self._run(work)

    def enqueue_lines(self, chunks: Iterator[bytes]) -> dict[str, Any]:
        async def receive() -> dict[str, Any]:
            await trio.lowlevel.checkpoint()
            chunk = next(chunks, None)
            return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

        async def work(service: Service) -> Any:
            return msgspec.Raw((await ndjson.create(self._call(service), receive)).body)

        return cast("dict[str, Any]", self._run(work))

    def get(self, id_: str) -> Any:
        async def work(service: Service) -> Any:
            return views.view(await service.get(job_id(id_)))

        return self._run(work)

    def wait(self, id_: str, seconds: float) -> Any:
        async def work(service: Service) -> Any:
            return views.view(await service.wait(job_id(id_), seconds))

        return self._run(work)

    def result(self, id_: str) -> bytes:
        async def work(service: Service) -> bytes:
            return (await history.result(self._call(service, params={"id": id_}))).body

        return visit(self._settings, work)

    def list_jobs(self, filter: Mapping[str, str], limit: int) -> list[Any]:
        async def work(service: Service) -> Any:
            page = await service.list_jobs(filters.from_query(filter), limit=limit)
            return [passing.job_in_passing(job, service.redactor) for job in page.jobs]

        return cast("list[Any]", self._run(work))

    def newest(self, most: int) -> list[str]:
        async def work(service: Service) -> list[str]:
            ids: list[str] = []
            page = Page([], None)
            while len(ids) < most:
                page = await service.list_jobs(before=page.next, limit=PAGE)
                ids += [job.id for job in page.jobs]
                if page.next is None:
                    break
            return ids[:most]

        return self._run(work)

    def one(self, action: str, id_: str) -> Any:
        async def work(service: Service) -> Any:
            if action == "delete":
                await service.remove(job_id(id_))
                return None
            verb = service.cancel if action == "cancel" else service.retry
            return views.view(await verb(job_id(id_)))

        return self._run(work)

    def many(
        self,
        action: str,
        ids: Sequence[str] | None,
        filter: Mapping[str, str] | None,
        *,
        dry_run: bool,
        told: Told,
    ) -> dict[str, Any]:
        verb = cast(BulkAction, action)
        report = _reporting(told)

        async def work(service: Service) -> dict[str, Any]:
            chosen = None if filter is None else filters.from_json(filter)
            known = None if ids is None else [job_id(id_) for id_ in ids]
            progress = await service.bulk(verb, known, chosen, dry_run=dry_run, report=report)
            return progress._asdict()

        return self._run(work)

    def why(self, id_: str) -> dict[str, Any]:
        async def work(service: Service) -> Any:
            return views.why_view(await service.why(job_id(id_)))

        return cast("dict[str, Any]", self._run(work))

    def logs(self, id_: str, *, follow: bool, told: Told) -> None:
        async def work(service: Service) -> None:
            id_known = job_id(id_)
            await service.get(id_known)
            async with service.watch.subscribe(id_known) as changes:
                after = 0
                while True:
                    ended = (await service.get(id_known)).state.final  # before its last lines
                    while lines := await service.logs(id_known, after):
                        for line in lines:
                            told(msgspec.to_builtins(views.line_view(line, service.redactor)))
                        after = lines[-1].n
                    if ended or not follow or await anext(changes, None) is None:
                        return

        self._run(work)

    def queues(self) -> list[dict[str, Any]]:
        async def work(service: Service) -> Any:
            return [views.queue_view(queue, service) for queue in await service.queues()]

        return cast("list[dict[str, Any]]", self._run(work))

    def pause(self, name: str) -> dict[str, Any]:
        async def work(service: Service) -> Any:
            return views.queue_view(await service.pause(name), service)

        return cast("dict[str, Any]", self._run(work))

    def resume(self, name: str) -> dict[str, Any]:
        async def work(service: Service) -> Any:
            return views.queue_view(await service.resume(name), service)

        return cast("dict[str, Any]", self._run(work))

    def purge(self, name: str, *, told: Told) -> dict[str, Any]:
        async def work(service: Service) -> dict[str, Any]:
            return (await service.purge(name, _reporting(told)))._asdict()

        return self._run(work)

    def tail(self, told: Told) -> None:
        async def work(service: Service) -> None:
            async with service.watch.subscribe() as pages:
                async for page in pages:
                    if not page.complete:
                        told({"seq": page.last, "event": LOST})
                    for change in page.changes:
                        name, shown = events.shown(change, service.redactor)
                        said = msgspec.to_builtins(shown)
                        told({"seq": change.seq, "event": name, **said})

        self._run(work)

    def create_token(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        body = msgspec.json.encode(wish)
        headers = {b"content-type": b"application/json"}

        async def work(service: Service) -> Any:
            call = self._call(service, headers=headers, body=body)
            return msgspec.Raw((await tokens.create(call)).body)

        return cast("dict[str, Any]", self._run(work))

    def tokens(self) -> list[dict[str, Any]]:
        async def work(service: Service) -> Any:
            return [tokens.token_view(token) for token in await service.tokens.all()]

        return cast("list[dict[str, Any]]", self._run(work))

    def revoke_token(self, id_: str) -> None:
        async def work(service: Service) -> None:
            await service.tokens.revoke(id_)

        self._run(work)

    def types(self) -> list[dict[str, Any]]:
        known = Registry(handlers(self._settings))
        return [msgspec.to_builtins(type_view(handler)) for handler in known]

    def workers(self) -> list[dict[str, Any]]:
        return cast("list[dict[str, Any]]", self._run(remote_workers))

    def direct(self, directive: str, names: list[str]) -> list[dict[str, Any]]:
        async def work(service: Service) -> Any:
            told = await service.working.direct(names, Directive(directive))
            return [{"name": worker.name, "directive": directive} for worker in told]

        return cast("list[dict[str, Any]]", self._run(work))

    def _call(self, service: Service, **request: Any) -> Call:
        """A request as it would come over HTTP, for what only those know how to take."""
        return Call(service=service, settings=self._settings, **{"headers": {}, **request})

    def _run(self, work: Callable[[Service], Awaitable[T]]) -> T:
        """What `work` brings, as it would be on the wire."""
        found = visit(self._settings, work)
        return cast(T, msgspec.json.decode(msgspec.json.encode(found)))


def _reporting(told: Told) -> BulkReport:
    async def report(progress: BulkProgress) -> None:
        told(progress._asdict())
        await trio.lowlevel.checkpoint()

    return report
