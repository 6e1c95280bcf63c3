"""The client for programs without an event loop: the same calls, which block."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, Generic, Literal, Protocol, TypeVar, Unpack

from .blocking_wire import BlockingWire
from .bulk import BulkReport
from .bulk import Progress as Moved
from .caller import Caller
from .events import Event
from .house import JobType, Queue, Worker
from .job import Job
from .lines import Progress as Stored
from .lines import Report
from .options import Changes, Options
from .place import Place
from .reading import Filter
from .steering import Steering
from .wire import run

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Source(Protocol[T_co]):
    """What may be iterated over step by step, and closed."""

    async def __anext__(self) -> T_co: ...
    async def aclose(self) -> None: ...


class Steps(Generic[T]):
    """Iterates in this thread; a `with` around it closes the connection at its end."""

    def __init__(self, source: Source[T]) -> None:
        self._source = source

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            return run(self._source.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> "Steps[T]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        run(self._source.aclose())


class SyncClient:
    """A service, to any program. Its calls are those of Client, which says what they promise.

        with SyncClient("http://127.0.0.1:8080") as jobs:
            job = jobs.enqueue("send_email", {"to": "test@example.com"})
            jobs.wait(job.id, timeout=60)

    Any number of threads may use one; `enqueue` calls that they make at the same time share
    requests. Nothing can be cancelled but by the timeout, which is looked at whenever something
    comes: an answer that drips may take longer.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        timeout: float | None = 30.0,
        *,
        coalesce: bool = True,
    ) -> None:
        place = Place.find(url, token)
        self._caller = Caller(BlockingWire(place), place.url, inf if timeout is None else timeout)
        self._calls = Steering(self._caller, coalesce=coalesce)

    def __enter__(self) -> "SyncClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        run(self._caller.wire.close())

    def enqueue(self, type: str, input: Any = None, **options: Unpack[Options]) -> Job:
        return run(self._calls.enqueue(type, input, **options))

    def upload(
        self,
        type: str,
        data: bytes,
        content_type: str = "application/octet-stream",
        *,
        params: Mapping[str, str] | None = None,
        **options: Unpack[Options],
    ) -> Job:
        return run(self._calls.upload(type, data, content_type, params=params, **options))

    def enqueue_many(
        self, jobs: Iterable[Mapping[str, Any]], progress: Stored | None = None
    ) -> Report:
        return run(self._calls.enqueue_many(jobs, progress))

    def get(self, id: str) -> Job:
        return run(self._calls.get(id))

    def result(self, id: str) -> bytes:
        return run(self._calls.result(id))

    def wait(self, id: str, timeout: float | None = None, *, check: bool = True) -> Job:
        return run(self._calls.wait(id, timeout, check=check))

    def list(self, *, include: Sequence[str] = (), **filter: Unpack[Filter]) -> Steps[Job]:
        return Steps(self._calls.list(include=include, **filter))

    def events(self, id: str | None = None, after: int | None = None) -> Steps[Event]:
        return Steps(self._calls.events(id, after))

    def queues(self) -> Sequence[Queue]:
        return run(self._calls.queues())

    def types(self) -> Sequence[JobType]:
        return run(self._calls.types())

    def workers(self) -> Sequence[Worker]:
        return run(self._calls.workers())

    def cancel(self, id: str) -> Job:
        return run(self._calls.cancel(id))

    def retry(self, id: str) -> Job:
        return run(self._calls.retry(id))

    def run_now(self, id: str) -> Job:
        return run(self._calls.run_now(id))

    def snooze(self, id: str, seconds: float) -> Job:
        return run(self._calls.snooze(id, seconds))

    def amend(self, id: str, *, version: int | None = None, **changes: Unpack[Changes]) -> Job:
        return run(self._calls.amend(id, version=version, **changes))

    def remove(self, id: str) -> None:
        run(self._calls.remove(id))

    def bulk(
        self,
        action: Literal["cancel", "retry", "delete"],
        ids: Sequence[str] | None = None,
        filter: Mapping[str, Any] | None = None,
        *,
        dry_run: bool = False,
        progress: Moved | None = None,
    ) -> BulkReport:
        return run(self._calls.bulk(action, ids, filter, dry_run=dry_run, progress=progress))

    def pause(self, queue: str) -> Queue:
        return run(self._calls.pause(queue))

    def resume(self, queue: str) -> Queue:
        return run(self._calls.resume(queue))

    def purge(self, queue: str, progress: Moved | None = None) -> BulkReport:
        return run(self._calls.purge(queue, progress))


for _name, _call in vars(SyncClient).items():
    if callable(_call) and not _name.startswith("_") and hasattr(Steering, _name):
        _call.__doc__ = getattr(Steering, _name).__doc__
