"""One wish for many jobs: `POST /jobs/cancel`, `/jobs/retry`, `/jobs/delete`, and a queue's purge.

The answer is one JSON object at the end or, for who accepts application/x-ndjson, a line each time
some more are done.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ClassVar

import msgspec

from ..errors import InvalidInput
from ..ids import is_job_id
from ..service import BulkAction, BulkProgress, BulkReport, Scope, silent
from ..storage.wishes import Filter
from . import filters
from .answer import Answer, refusal
from .bodies import JSON, json_body
from .call import Call, Route
from .ndjson import MEDIA_TYPE
from .problems import UnsupportedMediaType
from .streams import Streamed, Write
from .words import JobId, excluding, says

Work = Callable[[BulkReport], Awaitable[BulkProgress]]


class BulkRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which jobs: `ids`, or all that match a `filter`."""

    SCHEMA: ClassVar = {
        "allOf": [
            excluding("ids", "filter"),
            {"not": {"properties": {"ids": {"type": "null"}, "filter": {"type": "null"}}}},
        ]
    }

    EXAMPLE: ClassVar = {"filter": {"state": "failed", "type": "webhook"}, "dry_run": True}

    ids: list[JobId] | None = None
    filter: Annotated[dict[str, Any], says(**filters.SCHEMA)] | None = None
    dry_run: bool = False


class ProgressView(msgspec.Struct):
    """`scanned` goes from 0 to 1; with `finished`, every matched job is done or skipped."""

    matched: int
    done: int
    skipped: int
    scanned: float
    finished: bool
    dry_run: bool


PROGRESS = {JSON: ProgressView, MEDIA_TYPE: str}
"""What these calls give, by media type: the end of it, or lines."""

_request = msgspec.json.Decoder(BulkRequest)


async def act(action: BulkAction, call: Call) -> Answer | Streamed:
    request = await json_body(call, _request)
    if (request.ids is None) == (request.filter is None):
        raise InvalidInput('say which jobs: either {"ids": […]} or {"filter": {…}}')
    ids = None if request.ids is None else _ids(request.ids)
    chosen = None if request.filter is None else _filter(request.filter)
    if chosen is not None and (chosen.input or chosen.error):
        call.grant.demand(Scope.READ)  # what matches would tell what is in there
    dry_run = request.dry_run

    async def work(report: BulkReport) -> BulkProgress:
        return await call.service.bulk(action, ids, chosen, dry_run=dry_run, report=report)

    return await carry_out(call, work, dry_run=dry_run)


async def cancel(call: Call) -> Answer | Streamed:
    """Cancel many jobs.

    Those that wait end at once, those that run are asked to stop. Say which by `ids` or by a
    `filter`; `dry_run` only counts. With `Accept: application/x-ndjson`, a line each time some more
    are done.
    """
    return await act("cancel", call)


async def retry(call: Call) -> Answer | Streamed:
    """Queue many finished jobs again, with fresh attempts."""
    return await act("retry", call)


async def delete(call: Call) -> Answer | Streamed:
    """Remove the records of many finished jobs."""
    return await act("delete", call)


async def carry_out(call: Call, work: Work, *, dry_run: bool = False) -> Answer | Streamed:
    """The answer to `work`: whole, or as it goes."""
    if MEDIA_TYPE not in call.header(b"accept"):
        return Answer(200, _line(await work(silent), dry_run))

    async def produce(write: Write) -> None:
        async def report(progress: BulkProgress) -> None:
            await write(_line(progress, dry_run) + b"\n")

        try:
            await report(await work(report))
        except Exception as error:
            await write(b'{"problem":' + refusal(error, call.request_id).body + b"}\n")

    return Streamed(MEDIA_TYPE, produce)


def _line(progress: BulkProgress, dry_run: bool) -> bytes:
    matched, done, skipped, scanned, finished = progress
    shown = ProgressView(matched, done, skipped, round(scanned, 4), finished, dry_run)
    return msgspec.json.encode(shown)


def _ids(given: list[str]) -> list[str]:
    ids = [id_.lower() for id_ in given]
    for index, id_ in enumerate(ids):
        if not is_job_id(id_):
            raise InvalidInput("a job id is a UUID", f"/ids/{index}")
    return ids


def _filter(given: dict[str, Any]) -> Filter:
    try:
        return filters.from_json(given)
    except InvalidInput as error:
        error.pointer = f"/filter{error.pointer}"
        raise


ROUTES = tuple(
    Route(
        method="POST",
        path=f"/jobs/{action}",
        call=call,
        scope=Scope.WRITE,
        takes={JSON: BulkRequest},
        gives={200: PROGRESS},
        refuses=(InvalidInput, UnsupportedMediaType),
    )
    for action, call in {"cancel": cancel, "retry": retry, "delete": delete}.items()
)
