"""Any number of jobs: NDJSON in pieces, each of which lands once."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any
from uuid import uuid4

import msgspec

from .caller import Caller
from .errors import Problem, ServerFailed, refusal
from .options import as_json, given
from .wire import Answer, Request

MOST_LINES = 2_000
MOST_BYTES = 2_000_000
MOST_ERRORS = 100


class LineError(msgspec.Struct, frozen=True):
    """Why a job was refused; the first one has `line` 1."""

    line: int
    problem: Problem


class Report(msgspec.Struct, frozen=True):
    """What became of the jobs so far. `errors` has the first 100 of those that `failed`.

    `created` jobs are new, `deduplicated` ones met a job with their unique_key, `replayed` ones
    brought an idempotency_key that was known before.
    """

    created: int = 0
    deduplicated: int = 0
    replayed: int = 0
    failed: int = 0
    errors: tuple[LineError, ...] = ()

    @property
    def total(self) -> int:
        """Lines that were sent and answered."""
        return self.created + self.deduplicated + self.replayed + self.failed


Progress = Callable[[Report], object]
Dicts = Iterable[Mapping[str, Any]]


class Piece:
    """Lines for one request, with the numbers that they have for the caller.

    `ours`: their keys are random ones. A key of ours that the service has seen before means only
    that the piece was cut off and came again, so its job is new all the same.
    """

    def __init__(self, *, ours: bool) -> None:
        self._ours = ours
        self._lines: list[bytes] = []
        self._numbers: list[int] = []
        self._size = 0

    @property
    def is_full(self) -> bool:
        return len(self._lines) >= MOST_LINES or self._size >= MOST_BYTES

    def add(self, number: int, job: Mapping[str, Any]) -> None:
        line = as_json({"idempotency_key": uuid4().hex, **job} if self._ours else job)
        self._lines.append(line)
        self._numbers.append(number)
        self._size += len(line)

    async def send(self, caller: Caller, report: Report) -> Report:
        """`report` with what became of these lines, which are gone from here."""
        if not self._lines:
            return report
        headers = {"Content-Type": "application/x-ndjson"}
        request = Request("POST", "/jobs", headers=headers, body=b"\n".join(self._lines))
        said = _decoded(await caller.call(request, repeat=True))
        errors = [LineError(self._numbers[error.line - 1], error.problem) for error in said.errors]
        again = 0 if self._ours else said.replayed
        self._lines, self._numbers, self._size = [], [], 0
        return Report(
            created=report.created + said.created + said.replayed - again,
            deduplicated=report.deduplicated + said.deduplicated,
            replayed=report.replayed + again,
            failed=report.failed + said.failed,
            errors=(*report.errors, *errors)[:MOST_ERRORS],
        )


async def enqueue_many(
    caller: Caller, jobs: Dicts | AsyncIterable[Mapping[str, Any]], progress: Progress | None
) -> Report:
    """See Client.enqueue_many."""
    report = Report()
    ours, theirs = Piece(ours=True), Piece(ours=False)
    number = 0
    async with aclosing(_each(jobs)) as each:
        async for job in each:
            number += 1
            piece = theirs if job.get("idempotency_key") is not None else ours
            piece.add(number, given(job))
            if piece.is_full:
                report = await piece.send(caller, report)
                if progress is not None:
                    progress(report)
    for piece in (ours, theirs):
        report = await piece.send(caller, report)
    if progress is not None:
        progress(report)
    return report


async def _each(
    jobs: Dicts | AsyncIterable[Mapping[str, Any]],
) -> AsyncGenerator[Mapping[str, Any], None]:
    if isinstance(jobs, AsyncIterable):
        async for job in jobs:
            yield job
    else:
        for job in jobs:
            yield job


def _decoded(answer: Answer) -> Report:
    try:
        return msgspec.json.decode(answer.body, type=Report)
    except msgspec.MsgspecError:
        raise ServerFailed(answer.status, refusal(answer).problem) from None
