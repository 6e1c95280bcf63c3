"""Which of all jobs and queues are a caller's business."""

from collections.abc import Sequence

from ..errors import Denied, NotFound
from ..storage.base import Store
from ..storage.records import Job
from ..storage.wishes import Filter
from .bulk import PEEK
from .grant import Grant
from .order import check_name


class Reach:
    """What a `grant` reaches in a store: for everybody else's jobs, see what is raised."""

    def __init__(self, store: Store, grant: Grant) -> None:
        self._store = store
        self.grant = grant
        self._is_limited = grant.is_limited

    async def job(self, id_: str) -> Job:
        """The job; NotFound when it is not there, or none of the caller's business."""
        job = (await self._store.get([id_])).get(id_)
        if job is None or not self._covers(job):
            raise NotFound(f"There is no job {id_}.")
        return job

    async def check(self, id_: str) -> None:
        """Raises NotFound for a job that is none of the caller's business."""
        if self._is_limited:
            await self.job(id_)

    async def some(self, ids: Sequence[str]) -> Sequence[str]:
        """Those of `ids` that are the caller's business."""
        if not self._is_limited:
            return ids
        seen: list[str] = []
        for start in range(0, len(ids), PEEK):
            jobs = await self._store.get(ids[start : start + PEEK])
            seen += [id_ for id_, job in jobs.items() if self._covers(job)]
        return seen

    def narrow(self, filter: Filter) -> Filter:
        """`filter`, but only the caller's jobs."""
        return self.grant.narrow(filter) if self._is_limited else filter

    def demand(self, type_: str, queue: str) -> None:
        """Raises Denied unless a job of this type, in this queue, would be the caller's."""
        if self._is_limited and not self.grant.covers(type_, queue):
            raise Denied(f"The token is not good for jobs of type {type_} in the queue {queue}.")

    def demand_counts(self) -> None:
        """Raises Denied where jobs of all types are counted together."""
        if self.grant.types is not None:
            raise Denied("Queues are counted over all types; the token is good for some.")

    def demand_queue(self, name: str) -> None:
        """Raises InvalidInput for what is no name, Denied unless all of the queue is reached."""
        check_name("a queue", name, "/queue")
        if not self.grant.covers_queue(name):
            raise Denied(f"The token is not good for all of the queue {name}.")

    def _covers(self, job: Job) -> bool:
        return not self._is_limited or self.grant.covers(job.type, job.queue)
