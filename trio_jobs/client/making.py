"""The calls that make jobs."""

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, TypeVar, Unpack
from uuid import uuid4

import msgspec

from . import lines
from .batches import Batches, post
from .caller import Caller
from .errors import ServerFailed, refusal
from .job import Job
from .lines import Report
from .options import ALONE, Options, as_json, as_query, given
from .wire import Answer, Request

T = TypeVar("T")


class Making:
    """What all calls need, and those that make jobs."""

    def __init__(self, caller: Caller, *, coalesce: bool) -> None:
        self._caller = caller
        self._batches = Batches(caller) if coalesce else None

    async def enqueue(self, type: str, input: Any = None, **options: Unpack[Options]) -> Job:
        """Store a job; it is on stable storage when this returns.

        `input` is what msgspec can write as JSON (dicts, lists, dataclasses, datetimes …); None
        sends none. For the rest see `Options`. With `wait`, the job is as it was when it ended, or
        when those seconds were over; look at `ended`.

        However often the request has to be sent, one job is stored. Calls that run at the same time
        travel together (see `coalesce`), unless they `wait`, have a `unique_key` or bring an
        `idempotency_key`. A job whose unique_key is taken comes back as the one that has it, with
        `deduplicated`.

        Raises Invalid (with `faults`), Conflict (`on_conflict="reject"`), Unavailable, Unreachable,
        TimedOut and other ApiErrors; ValueError and TypeError for what is no JSON. Cancelled, or
        with an error that has `maybe_done`, the job may be stored or not.
        """
        asked = given(options)
        key = asked.pop("idempotency_key", None)
        job = {"type": type, **asked}
        if input is not None:
            job["input"] = input
        body = as_json(job)
        wait = asked.get("wait", 0.0)
        give_up = self._caller.give_up(wait)
        if self._batches is not None and ALONE.isdisjoint(given(options)):
            stored = await self._batches.enqueue(body, give_up)
            if stored is not None:
                return stored
        request = post(body, key or uuid4().hex)
        answer = await self._caller.call(request, repeat=True, give_up=give_up, wait=wait)
        return decoded(answer, Job)

    async def upload(
        self,
        type: str,
        data: bytes,
        content_type: str = "application/octet-stream",
        *,
        params: Mapping[str, str] | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Store a job whose payload is `data` as it is; `params` are those of its type.

        `content_type` is anything but JSON. Repeated, refused and cancelled as `enqueue` is.
        """
        asked = given(options)
        key = asked.pop("idempotency_key", None)
        wait = asked.get("wait", 0.0)
        headers = {"Content-Type": content_type, "Idempotency-Key": key or uuid4().hex}
        query = {**(params or {}), "type": type, **as_query(asked)}
        request = Request("POST", "/jobs", query, headers, data)
        return decoded(await self._caller.call(request, repeat=True, wait=wait), Job)

    async def enqueue_many(
        self,
        jobs: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
        progress: lines.Progress | None = None,
    ) -> Report:
        """Store any number of jobs, each a dict with `type`, `input` and options (no `wait`).

        They are read as they are sent, 2,000 at a time, so memory stays flat. Bad ones are refused
        one by one and named in the report; the others are stored, each once, whatever breaks on the
        way. `progress` is called with the report so far each time some more are dealt with. The
        timeout is for 2,000 of them, not for all.

        Raises what `enqueue` raises, but Invalid and Conflict; what was dealt with stays stored.
        With an `idempotency_key` in each job, all can then be sent again.
        """
        return await lines.enqueue_many(self._caller, jobs, progress)


def decoded(answer: Answer, type_: type[T]) -> T:
    """The body of an answer; ServerFailed when it is none of ours."""
    try:
        return msgspec.json.decode(answer.body, type=type_)
    except msgspec.MsgspecError:
        raise ServerFailed(answer.status, refusal(answer).problem) from None
