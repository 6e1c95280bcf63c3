"""One wish for many jobs, and how far it is."""

from collections.abc import Callable
from typing import Any

import msgspec

from .caller import Caller
from .errors import Problem, Unreachable, from_problem
from .options import as_json
from .wire import Lost, Request

NDJSON = "application/x-ndjson"
SILENCE = 120.0
"""Seconds; a slice of a few hundred jobs takes less than one."""


class BulkReport(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is. `scanned` goes from 0 to 1; `skipped` jobs were in a state that forbids it.

    The last one is not `finished` when the service stopped meanwhile.
    """

    matched: int
    done: int
    skipped: int
    scanned: float = 1.0
    finished: bool = False
    dry_run: bool = False


class _Line(msgspec.Struct):
    problem: Problem | None = None


Progress = Callable[[BulkReport], object]


async def carry_out(caller: Caller, path: str, wish: Any, progress: Progress | None) -> BulkReport:
    """The last report. Raises Unreachable, with `maybe_done`, when the answer breaks off."""
    headers = {"Accept": NDJSON, "Content-Type": "application/json"}
    body = b"" if wish is None else as_json(wish)
    stream = await caller.open(Request("POST", path, {}, headers, body), repeat=False)
    report = None
    rest = b""
    try:
        while data := await stream.chunk(SILENCE):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                report = _report(line)
                if progress is not None:
                    progress(report)
    except Lost as lost:
        raise caller.failure(lost, maybe_done=True) from lost
    finally:
        await stream.close()
    if report is None:
        raise Unreachable("the service has stopped before it began", maybe_done=True)
    return report


def _report(line: bytes) -> BulkReport:
    problem = msgspec.json.decode(line, type=_Line).problem
    if problem is not None:
        raise from_problem(problem.status, problem)
    return msgspec.json.decode(line, type=BulkReport)
