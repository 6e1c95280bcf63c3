"""Commands straight on the database: a visitor, beside whatever service has it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec
import trio

from ..builtin import handlers
from ..errors import ConfigError, NotFound, StoreBroken, StoreError, TrioJobsError
from ..http import filters, views
from ..http.query import job_id
from ..registry import Registry
from ..runtime import reasons
from ..service import BulkAction, BulkProgress, BulkReport, Service
from ..storage import open_visitor
from .exits import Exit, fail
from .place import Told
from .settings import load

T = TypeVar("T")


class OnFile:
    """See `place.Place`. Each call opens the database and leaves it again."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._settings, _ = load({"database": url})

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
            now = service.now()
            return [views.queue_view(queue, now) for queue in await service.queues()]

        return cast("list[dict[str, Any]]", self._run(work))

    def pause(self, name: str) -> dict[str, Any]:
        async def work(service: Service) -> Any:
            return views.queue_view(await service.pause(name), service.now())

        return cast("dict[str, Any]", self._run(work))

    def resume(self, name: str) -> dict[str, Any]:
        async def work(service: Service) -> Any:
            return views.queue_view(await service.resume(name), service.now())

        return cast("dict[str, Any]", self._run(work))

    def purge(self, name: str, *, told: Told) -> dict[str, Any]:
        async def work(service: Service) -> dict[str, Any]:
            return (await service.purge(name, _reporting(told)))._asdict()

        return self._run(work)

    def _run(self, work: Callable[[Service], Awaitable[T]]) -> T:
        """What `work` brings, as plain data; its errors as their sentences and exit codes."""
        try:
            found = trio.run(self._visit, work)
            return cast(T, msgspec.json.decode(msgspec.json.encode(found)))  # as on the wire
        except BaseException as error:
            if isinstance(error, BaseExceptionGroup) and error.subgroup(KeyboardInterrupt):
                raise KeyboardInterrupt from None
            causes = reasons(error)
            if not causes:
                raise
            if not isinstance(causes[0], TrioJobsError):
                raise causes[0] from None  # nobody reads our output any more, say
            fail(str(causes[0]), _code(causes[0]))

    async def _visit(self, work: Callable[[Service], Awaitable[T]]) -> T:
        store = open_visitor(self._url)
        service = Service(store, Registry(handlers(self._settings)), self._settings)
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            nursery.start_soon(service.watch.run)
            try:
                return await work(service)
            finally:
                service.watch.close()
                store.close()


def _reporting(told: Told) -> BulkReport:
    async def report(progress: BulkProgress) -> None:
        told(progress._asdict())
        await trio.lowlevel.checkpoint()

    return report


def _code(error: TrioJobsError) -> Exit:
    if isinstance(error, NotFound):
        return Exit.NOT_FOUND
    if isinstance(error, StoreBroken):
        return Exit.STORE_BROKEN
    if isinstance(error, ConfigError):
        return Exit.USAGE
    return Exit.ERROR if isinstance(error, StoreError) else Exit.REFUSED
