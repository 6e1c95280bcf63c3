"""A job that was enqueued, as its producer sees it."""

from math import inf
from typing import Any, Generic, TypeVar

import msgspec
import trio

from ..errors import JobFailed, TimedOut
from ..job import State
from ..service import Service
from ..storage.records import Job, body_bytes

R = TypeVar("R")
WAIT = 3_600.0  # seconds of one look; a wait without an end is many of them


class Handle(Generic[R]):
    """The job `id`. Its verbs raise NotFound once its record is gone (see `keep`)."""

    def __init__(self, service: Service, id_: str, output: Any) -> None:
        self._service = service
        self._output = output
        self.id = id_

    async def get(self) -> Job:
        """The whole record as it is now, payload and result included."""
        return await self._service.get(self.id)

    async def status(self) -> State:
        """Where it is in its life: `State.QUEUED`, `State.RUNNING`, `State.DONE` …"""
        return (await self.get()).state

    async def cancel(self) -> None:
        """Cancels it; a running one is asked to stop. Raises Conflict when it has ended."""
        await self._service.cancel(self.id)

    async def result(self, timeout: float = inf) -> R:
        """What the handler has returned, as the type that it is annotated with.

        Waits for the end of the job, for `timeout` seconds at most. Raises JobFailed with the
        remote error when it failed or was cancelled, TimedOut when it has not ended yet, and
        msgspec.ValidationError when its result is not what the annotation says. Neither a timeout
        nor a cancellation of the wait touches the job.
        """
        end = trio.current_time() + timeout
        while True:
            left = max(end - trio.current_time(), 0.0)
            job = await self._service.wait(self.id, min(left, WAIT))
            if job.state.final:
                result: R = result_of(job, self._output)
                return result
            if self._service.draining or trio.current_time() >= end:
                raise TimedOut(f"Job {self.id} has not ended yet: it is {job.state}.")


def result_of(job: Job, output: Any) -> Any:
    """The result of a finished job as an `output`; JobFailed when it has none."""
    if job.state is not State.DONE:
        error = job.error
        raise JobFailed(
            job.id,
            job.state,
            job.reason,
            error.type if error else "",
            error.message if error else "",
            error.traceback if error else "",
        )
    result = body_bytes(job.result_text, job.result_hex)
    if result is None or job.result_text is None:
        return result
    return msgspec.json.decode(result, type=output)
