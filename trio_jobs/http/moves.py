"""What a person may do to one job: cancel, retry, run it now, snooze, change or remove it."""

import msgspec
from msgspec import UNSET, UnsetType

from ..config import Settings
from ..job import State
from ..service import Service
from ..storage.records import Job
from ..storage.wishes import Amendment
from . import views
from .answer import Answer
from .bodies import json_body
from .orders import moment
from .problems import Malformed
from .query import demanded_version, etag, job_id, parse_query

_SECONDS = frozenset({"seconds"})


class SnoozeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """For how many seconds from now."""

    seconds: float


class PatchRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What may change while a job waits; what is left out stays."""

    priority: int | UnsetType = UNSET
    run_at: str | UnsetType = UNSET
    queue: str | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    timeout: float | UnsetType = UNSET


_snooze = msgspec.json.Decoder(SnoozeRequest)
_patch = msgspec.json.Decoder(PatchRequest)


async def cancel(service: Service, id_: str) -> Answer:
    """200: it has ended. 202: it runs, and was asked to stop."""
    job = await service.cancel(job_id(id_))
    return _shown(job, 202 if job.state is State.RUNNING else 200)


async def retry(service: Service, id_: str) -> Answer:
    return _shown(await service.retry(job_id(id_)))


async def run_now(service: Service, id_: str) -> Answer:
    return _shown(await service.run_now(job_id(id_)))


async def snooze(
    service: Service,
    settings: Settings,
    id_: str,
    *,
    body: bytes,
    content_type: str,
    query_string: bytes,
) -> Answer:
    """The seconds are in the query (`?seconds=60`) or in a JSON body."""
    query = parse_query(query_string, _SECONDS)
    if "seconds" not in query:
        seconds = json_body(settings, _snooze, body, content_type).seconds
    else:
        try:
            seconds = float(query["seconds"])
        except ValueError:
            raise Malformed("seconds must be a number.") from None
    return _shown(await service.snooze(job_id(id_), seconds))


async def amend(
    service: Service,
    settings: Settings,
    id_: str,
    *,
    body: bytes,
    content_type: str,
    if_match: str,
) -> Answer:
    """PATCH /jobs/{id}."""
    changes = json_body(settings, _patch, body, content_type)
    given = {
        name: value for name, value in msgspec.structs.asdict(changes).items() if value is not UNSET
    }
    if "run_at" in given:
        given["run_at"] = moment("run_at", given["run_at"])
    id_ = job_id(id_)
    amendment = Amendment(id_, version=demanded_version(if_match), **given)
    return _shown(await service.amend(id_, amendment))


async def remove(service: Service, id_: str) -> Answer:
    """DELETE /jobs/{id}."""
    await service.remove(job_id(id_))
    return Answer(204, b"")


def _shown(job: Job, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(views.view(job)), {"ETag": etag(job.version)})
