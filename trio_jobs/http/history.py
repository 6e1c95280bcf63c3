"""What there is to know about one job beside itself: attempts, obstacles, raw bodies."""

import re

import msgspec

from ..errors import NotFound
from ..service import Service
from ..storage.records import body_bytes
from . import passing, views
from .answer import Answer
from .query import job_id

_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_MEDIA_TYPE = re.compile(rf"{_WORD}/{_WORD}(?:[\t ]*;[\t -~]*)?\Z")


async def attempts(service: Service, id_: str) -> Answer:
    """GET /jobs/{id}/attempts: oldest first."""
    found = await service.attempts(job_id(id_))
    shown = [passing.attempt_in_passing(record, service.redactor) for record in found]
    return Answer(200, msgspec.json.encode({"attempts": shown}))


async def why(service: Service, id_: str) -> Answer:
    """GET /jobs/{id}/why."""
    return Answer(200, msgspec.json.encode(views.why_view(await service.why(job_id(id_)))))


async def payload(service: Service, id_: str) -> Answer:
    """GET /jobs/{id}/payload: the stored bytes."""
    job = await service.get(job_id(id_))
    data = body_bytes(job.payload_text, job.payload_hex)
    return _download(f"{job.id}.payload", data, job.content_type)


async def result(service: Service, id_: str) -> Answer:
    """GET /jobs/{id}/result: the stored bytes."""
    job = await service.get(job_id(id_))
    data = body_bytes(job.result_text, job.result_hex)
    if data is None:
        raise NotFound(f"Job {job.id} has no result; it is {job.state}.")
    return _download(f"{job.id}.result", data, job.result_content_type)


def _download(name: str, data: bytes | None, content_type: str | None) -> Answer:
    """Never shown by a browser: what it says was written by whoever made the job."""
    named = content_type if content_type and _MEDIA_TYPE.match(content_type) else None
    return Answer(
        200,
        data or b"",
        {
            "Content-Type": named or "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{name}"',
        },
    )
