"""The calls that move jobs and queues."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

from .bulk import BulkReport, Progress, carry_out
from .errors import NotFound
from .house import Queue
from .job import Job
from .listing import as_filter
from .making import decoded
from .options import Changes, as_json
from .reading import Reading, path
from .wire import Request

JSON = {"Content-Type": "application/json"}


class Steering(Reading):
    """None of the moves is repeated when it may have been done: an error that has `maybe_done`, or
    a cancellation, leaves open whether it was. See `caller` for why, and for what is repeated.
    """

    async def cancel(self, id: str) -> Job:
        """End a waiting job now, or ask a running one to stop (it is still running then).

        Raises NotFound, Conflict (it has ended).
        """
        return await self._move(id, "cancel")

    async def retry(self, id: str) -> Job:
        """Queue a job that has ended again, with fresh attempts. Raises NotFound, Conflict."""
        return await self._move(id, "retry")

    async def run_now(self, id: str) -> Job:
        """End a job's waiting for its time. Raises NotFound, Conflict (it does not wait)."""
        return await self._move(id, "run-now")

    async def snooze(self, id: str, seconds: float) -> Job:
        """Let a waiting job wait on, from now. Raises NotFound, Conflict, Invalid."""
        return await self._move(id, "snooze", {"seconds": seconds})

    async def amend(
        self, id: str, *, version: int | None = None, **changes: Unpack[Changes]
    ) -> Job:
        """Change a job that waits; with `version`, only if it still has that.

        Raises NotFound, Conflict (it does not wait), Outdated, Invalid.
        """
        headers = JSON if version is None else {**JSON, "If-Match": f'"{version}"'}
        request = Request("PATCH", path(id), {}, headers, as_json(changes))
        return decoded(await self._caller.call(request, repeat=False), Job)

    async def remove(self, id: str) -> None:
        """Remove the record of a job that has ended. Raises NotFound, Conflict.

        It may be repeated: where a broken try may have done it, a 404 means that it has.
        """
        try:
            await self._caller.call(Request("DELETE", path(id)), repeat=True)
        except NotFound as error:
            if not error.maybe_done:
                raise

    async def bulk(
        self,
        action: Literal["cancel", "retry", "delete"],
        ids: Sequence[str] | None = None,
        filter: Mapping[str, Any] | None = None,
        *,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> BulkReport:
        """Move many jobs: those with these `ids`, or all that match `filter` (as in `list`).

        `dry_run` only counts. `progress` is called with a report each time some more are done; it
        may take as long as it takes. Raises Invalid, and Unreachable with `maybe_done` when the
        connection breaks: some are done then.
        """
        wish: dict[str, Any] = {"dry_run": dry_run}
        if ids is not None:
            wish["ids"] = list(ids)
        if filter is not None:
            wish["filter"] = as_filter(filter)
        return await carry_out(self._caller, f"/jobs/{action}", wish, progress)

    async def pause(self, queue: str) -> Queue:
        """No job of this queue starts any more; it may be repeated."""
        return await self._steer(queue, "pause")

    async def resume(self, queue: str) -> Queue:
        """Let a paused queue go on; it may be repeated."""
        return await self._steer(queue, "resume")

    async def purge(self, queue: str, progress: Progress | None = None) -> BulkReport:
        """Cancel all that waits in a queue."""
        return await carry_out(self._caller, path(queue, "purge", "queues"), None, progress)

    async def _move(self, id: str, verb: str, wish: dict[str, Any] | None = None) -> Job:
        request = Request("POST", path(id, verb))
        if wish is not None:
            request = request._replace(headers=JSON, body=as_json(wish))
        return decoded(await self._caller.call(request, repeat=False), Job)

    async def _steer(self, queue: str, verb: str) -> Queue:
        request = Request("POST", path(queue, verb, "queues"))
        return decoded(await self._caller.call(request, repeat=True), Queue)
