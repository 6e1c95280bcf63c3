"""Many jobs in one request: `POST /jobs` with application/x-ndjson, a job a line.

The body is read as it comes and never held: lines become jobs in slices, and while a slice is being
stored the client has to wait. That is why this is no Quart route: Quart takes in a body as fast as
the client sends it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import trio

from ..config import Settings
from ..errors import Conflict, Denied, InvalidInput, TooLarge, TrioJobsError, Unavailable
from ..service import Order, Placed, Service
from . import idempotency, orders, problems
from .answer import Answer
from .asgi import ClientLeft, Receive
from .call import Call
from .problems import Malformed, Problem
from .query import parse_query

MEDIA_TYPE = "application/x-ndjson"
SLICE = 500
SLICE_BYTES = 4_000_000  # of lines; so long ones do not pile up to 500 times their limit
MOST_ERRORS = 100


def is_ndjson(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == MEDIA_TYPE


class LineError(msgspec.Struct):
    """What is wrong with a line; the first is line 1."""

    line: int
    problem: Problem


class Report(msgspec.Struct):
    """What became of the lines; empty ones count for nothing.

    `created` jobs are new; `deduplicated` lines met a job with their unique key, `replayed` ones an
    idempotency key that was known. `errors` has the first 100 of those that `failed`.
    """

    created: int = 0
    deduplicated: int = 0
    replayed: int = 0
    failed: int = 0
    errors: list[LineError] = []


class Line(NamedTuple):
    number: int
    order: Order
    key: tuple[str, str] | None


async def create(call: Call, receive: Receive) -> Answer:
    """Stores the good lines, names the bad ones. Raises ClientLeft when the client goes before the
    end; what was stored by then stays stored, as with Unavailable, whose detail says how much.
    """
    parse_query(call.query_string, frozenset())
    if call.header(b"idempotency-key"):
        raise Malformed("Here each line has an idempotency_key of its own, not the request.")
    intake = Intake(call.service)
    lines = Lines(call.settings.max_body)
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        more = message.get("more_body", False)
        for number, line in lines.feed(message.get("body", b""), last=not more):
            intake.take(number, line, call.settings)
            if intake.is_full:
                await intake.store()
    await intake.store()
    return Answer(200, msgspec.json.encode(intake.report))


class Lines:
    """Cuts a body into numbered lines; None stands for one that is too long, and is not kept."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._rest: list[bytes] = []  # the beginning of a line, in pieces
        self._size = 0
        self._number = 0

    def feed(self, data: bytes, *, last: bool = False) -> Iterator[tuple[int, bytes | None]]:
        """The lines that `data` completes, one at a time."""
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._keep(data[start:end])
            yield self._line()
            start = end + 1
        self._keep(data[start:])
        if last and self._size:
            yield self._line()

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._longest:
            self._rest.clear()
        elif piece:
            self._rest.append(piece)

    def _line(self) -> tuple[int, bytes | None]:
        self._number += 1
        line = None if self._size > self._longest else b"".join(self._rest)
        self._rest.clear()
        self._size = 0
        return self._number, line


class Intake:
    """Takes lines and stores them in slices. Within a slice, the order is not promised."""

    def __init__(self, service: Service) -> None:
        self.report = Report()
        self._service = service
        self._slice: list[Line] = []
        self._bytes = 0
        self._faults: list[LineError] = []

    @property
    def is_full(self) -> bool:
        return len(self._slice) >= SLICE or self._bytes >= SLICE_BYTES

    def take(self, number: int, line: bytes | None, settings: Settings) -> None:
        try:
            if line is None:
                raise TooLarge(
                    f"the line is longer than the limit (max_body): {settings.max_body:,} bytes"
                )
            line = line.strip()
            if not line:
                return
            order, key = orders.parse_line(line, self._service.now)
            mark = None if key is None else (key, idempotency.of_line(line))
        except TrioJobsError as error:
            self._refuse(number, error)
        else:
            self._slice.append(Line(number, order, mark))
            self._bytes += len(line)

    async def store(self) -> None:
        """Stores the slice; returns when it is on stable storage.

        One transaction when all is well. Where it is not, each job goes by itself; they wait
        together, and the store puts them into one transaction all the same.
        """
        lines, self._slice, self._bytes = self._slice, [], 0
        alone = [line for line in lines if line.key is not None]
        together = [line for line in lines if line.key is None]
        try:
            if together:
                try:
                    orders_ = [line.order for line in together]
                    self._count(await self._service.enqueue(orders_))
                except (InvalidInput, Conflict, Denied):
                    alone += together
            await self._store_alone(alone)
        except Unavailable as error:
            raise type(error)(
                f"{error} All lines before line {lines[0].number:,} have been dealt with: "
                f"{self.report.created:,} jobs are new, {self.report.failed:,} lines failed.",
                error.retry_after,
            ) from error
        self._tell()

    async def _store_alone(self, lines: list[Line]) -> None:
        failures: list[Exception] = []

        async def store(line: Line) -> None:
            try:
                self._count(await self._service.enqueue([line.order], line.key))
            except (InvalidInput, Conflict, Denied) as error:
                self._refuse(line.number, error)
            except Exception as error:  # raised in the nursery, it would leave in a group
                failures.append(error)

        async with trio.open_nursery() as nursery:
            for line in lines:
                nursery.start_soon(store, line)
        if failures:
            raise failures[0]

    def _count(self, placed: list[Placed]) -> None:
        for one in placed:
            if one.replayed:
                self.report.replayed += 1
            elif one.deduplicated:
                self.report.deduplicated += 1
            else:
                self.report.created += 1

    def _refuse(self, number: int, error: Exception) -> None:
        self.report.failed += 1
        if len(self._faults) < SLICE + MOST_ERRORS:
            self._faults.append(LineError(number, problems.problem(error, "")))

    def _tell(self) -> None:
        """Moves the faults of a slice to the report, by line."""
        room = MOST_ERRORS - len(self.report.errors)
        self.report.errors += sorted(self._faults, key=lambda fault: fault.line)[:room]
        self._faults.clear()
