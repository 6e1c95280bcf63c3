"""All jobs that match, page by page as they are looked at."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from .caller import Caller
from .errors import ServerFailed, refusal
from .job import Job
from .options import as_json, moment
from .wire import Request

PAGE, PAGE_WITH_BODIES = 500, 50


class _Page(msgspec.Struct):
    jobs: list[Job]
    next: str | None = None


_page = msgspec.json.Decoder(_Page)


class Listing:
    """Iterates over jobs, newest first. Each page is one call, made when its first job is due."""

    def __init__(self, caller: Caller, query: dict[str, str]) -> None:
        self._caller = caller
        self._query: dict[str, str] | None = query
        self._jobs: deque[Job] = deque()

    def __aiter__(self) -> "Listing":
        return self

    async def __anext__(self) -> Job:
        while not self._jobs:
            if self._query is None:
                raise StopAsyncIteration
            await self._turn(self._query)
        return self._jobs.popleft()

    async def aclose(self) -> None:
        """Nothing is open between two pages."""

    async def _turn(self, query: dict[str, str]) -> None:
        answer = await self._caller.call(Request("GET", "/jobs", query), repeat=True)
        try:
            page = _page.decode(answer.body)
        except msgspec.MsgspecError:
            raise ServerFailed(answer.status, refusal(answer).problem) from None
        self._jobs.extend(page.jobs)
        self._query = None if page.next is None else {**query, "cursor": page.next}


def filters(given: Mapping[str, Any], include: Sequence[str] = ()) -> dict[str, str]:
    """The query of a list. `error` is part of the last error, `input` a dict of paths."""
    query = {}
    for name, value in as_filter(given).items():
        if isinstance(value, str | datetime):
            query[name] = moment(value)
        elif isinstance(value, Sequence):
            query[name] = ",".join(value)
        else:
            query[name] = as_json(value).decode()
    query["limit"] = str(PAGE_WITH_BODIES if include else PAGE)
    if include:
        query["include"] = ",".join(include)
    return query


def as_filter(given: Mapping[str, Any]) -> dict[str, Any]:
    """The filter of a bulk call: the same names as the wire has them."""
    wire: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        if name == "error":
            wire["error~"] = value
        elif name == "input":
            wire.update({f"input.{path}": inner for path, inner in value.items()})
        elif isinstance(value, tuple | set | frozenset):
            wire[name] = list(value)
        else:
            wire[name] = value
    return wire
