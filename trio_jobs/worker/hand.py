"""From a claimed job to its verdict: the right handler, in the loop, a thread or a process."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any

import msgspec
import trio

from .. import clock, logs
from ..backoff import Backoff
from ..config import Settings
from ..executor.attempt import Attempt
from ..executor.child import Errand
from ..executor.description import describe
from ..executor.execution import execute, oversee
from ..executor.process import Processes
from ..importable import name_of, pickled_type
from ..job import Failed, Outcome, Reason, Stopped, Verdict, judge
from ..redaction import Redactor
from ..registry import Handler, Lifespan, Registry
from ..storage.records import Claimed, is_json
from .log_capture import current


class Hand:
    """What all slots of a worker need to run a job.

    `threads` are those of plain handlers, `resources` what their lifespans have opened. `processes`
    must run while jobs do; None when no handler wants one.
    """

    def __init__(self, registry: Registry, settings: Settings, *, now: clock.Now) -> None:
        self._registry = registry
        self._settings = settings
        self._now = now
        self._redact = Redactor(settings.redact, settings.secrets).text
        self.threads = trio.CapacityLimiter(settings.threads)
        wanted = any(handler.isolation == "process" for handler in registry)
        self.processes = Processes(settings.job_processes, self._redact) if wanted else None
        self.resources: dict[Lifespan, Any] = {}
        self._unlimited = trio.CapacityLimiter(inf)

    def attempt(self, job: Claimed) -> Attempt:
        """A run of `job` that begins now, or when there is a thread or a process for it."""
        handler = self._registry[job.type]
        return Attempt(
            job_id=job.id,
            attempt=job.attempt,
            max_attempts=job.max_attempts,
            timeout=job.timeout or handler.timeout or self._settings.job_timeout,
            started_at=job.started_at,
            job_deadline=inf if job.deadline is None else job.deadline,
            now=self._now,
            upload=None if is_json(job.content_type) else job.payload,
            content_type=job.content_type,
            traceparent=job.traceparent,
            in_thread=handler.isolation == "thread",
            in_process=handler.isolation == "process",
            redact=self._redact,
            resources=handler.lifespan and self.resources[handler.lifespan],
            saved=None if job.saved is None else msgspec.json.decode(job.saved),
        )

    def judge(self, job: Claimed, outcome: Outcome) -> Verdict | None:
        """What becomes of the job now; its own backoff goes before that of its handler."""
        backoff = self._registry[job.type].backoff
        if job.backoff is not None:
            with suppress(ValueError):  # written by a version that knew more kinds
                backoff = Backoff.of(job.backoff)
        return judge(job, outcome, self._now(), backoff)

    async def run(self, job: Claimed, attempt: Attempt) -> Outcome:
        """Runs the handler; past the job's deadline it is not even started."""
        if job.deadline is not None and job.deadline <= self._now():
            return Stopped(Reason.DEADLINE)
        try:
            run = self._way(job, self._registry[job.type], attempt)
        except Exception as error:  # its payload was valid when it came; the handler has changed
            return Failed(describe(error, self._redact), permanent=True)
        token, named = current.set(attempt), logs.job.set(job)
        try:
            return await run()
        finally:
            logs.job.reset(named)
            current.reset(token)

    def lose(self, attempt: Attempt) -> None:
        """Others go on without this one; what it holds is lost until it returns."""
        if (held := self._held(attempt)) is not None:
            held.total_tokens += 1

    def regain(self, attempt: Attempt) -> None:
        """It has returned."""
        if (held := self._held(attempt)) is not None:
            held.total_tokens -= 1

    def _held(self, attempt: Attempt) -> trio.CapacityLimiter | None:
        if attempt.in_process and self.processes is not None:
            return self.processes.free
        return self.threads if attempt.in_thread else None

    def _way(
        self, job: Claimed, handler: Handler, attempt: Attempt
    ) -> Callable[[], Awaitable[Outcome]]:
        """How the handler is run; raises when the job's input is none (any more)."""
        upload = attempt.upload is not None
        input_ = handler.decode_params(job.params or {}) if upload else handler.decode(job.payload)
        if self.processes is not None and handler.isolation == "process":
            errand = self._errand(job, handler, attempt)
            return partial(oversee, attempt, partial(self.processes.execute, attempt, errand))
        work = partial(handler.run, input_, attempt)
        if not handler.is_async:
            work = partial(self._in_thread, attempt, work)
        return partial(execute, attempt, work, max_result=self._settings.max_result)

    async def _in_thread(self, attempt: Attempt, work: Callable[[], object]) -> object:
        async with self.threads:
            attempt.start_clock()
            return await trio.to_thread.run_sync(work, limiter=self._unlimited)

    def _errand(self, job: Claimed, handler: Handler, attempt: Attempt) -> Errand:
        return Errand(
            function=name_of(handler.run),
            input=pickled_type(handler.input),
            payload=job.payload,
            params=None if attempt.upload is None else job.params or {},
            saved=job.saved,
            max_memory=handler.max_memory,
            max_result=self._settings.max_result,
            job_id=job.id,
            attempt=job.attempt,
            max_attempts=job.max_attempts,
            content_type=job.content_type,
            traceparent=job.traceparent,
        )
