"""What there is to know about one job beside itself: attempts, obstacles, raw bodies."""

import re

import msgspec

from ..errors import NotFound
from ..service import Scope
from ..storage.records import body_bytes
from . import passing, views
from .answer import Answer
from .bodies import off_loop
from .call import Call, Route
from .query import job_id

ANY_TYPE = "*/*"
_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_MEDIA_TYPE = re.compile(rf"{_WORD}/{_WORD}(?:[\t ]*;[\t -~]*)?\Z")


class AttemptsView(msgspec.Struct):
    attempts: list[views.AttemptView]


async def attempts(call: Call) -> Answer:
    """List all attempts of a job, oldest first."""
    found = await call.service.attempts(job_id(call.id))
    errors = [record.error for record in found if record.error is not None]
    size = sum(len(error.message) + len(error.traceback) for error in errors)
    redactor = call.service.redactor
    shown = await off_loop(
        size, lambda: [passing.attempt_in_passing(record, redactor) for record in found]
    )
    return Answer(200, msgspec.json.encode(AttemptsView(shown)))


async def why(call: Call) -> Answer:
    """Say what keeps a job from running."""
    shown = views.why_view(await call.service.why(job_id(call.id)))
    return Answer(200, msgspec.json.encode(shown))


async def payload(call: Call) -> Answer:
    """Download the payload: the stored bytes."""
    job = await call.service.get(job_id(call.id))
    data = body_bytes(job.payload_text, job.payload_hex)
    return _download(f"{job.id}.payload", data, job.content_type)


async def result(call: Call) -> Answer:
    """Download the result: the stored bytes."""
    job = await call.service.get(job_id(call.id))
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


ROUTES = tuple(
    Route(
        method="GET",
        path=f"/jobs/{{id}}/{name}",
        call=call,
        scope=Scope.READ,
        gives={200: gives},
        tells=("Content-Disposition",) if gives == ANY_TYPE else (),
        refuses=(NotFound,),
    )
    for name, call, gives in (
        ("attempts", attempts, AttemptsView),
        ("why", why, views.WhyView),
        ("payload", payload, ANY_TYPE),
        ("result", result, ANY_TYPE),
    )
)
