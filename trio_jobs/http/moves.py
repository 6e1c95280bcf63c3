"""What a person may do to one job: cancel, retry, run it now, snooze, change or remove it."""

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from ..errors import Conflict, InvalidInput, NotFound, Outdated
from ..job import State
from ..service import Scope
from ..storage.records import Job
from ..storage.wishes import Amendment
from . import views
from .answer import Answer
from .bodies import JSON, json_body
from .call import Call, Param, Route
from .orders import moment
from .problems import Malformed, UnsupportedMediaType
from .query import demanded_version, etag, job_id
from .words import Delay, Duration, Name, Priority, Tags, Time, VersionTag


class SnoozeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """For how many seconds from now."""

    EXAMPLE: ClassVar = {"seconds": 60}

    seconds: Delay


class PatchRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What may change while a job waits; what is left out stays."""

    EXAMPLE: ClassVar = {"priority": 10, "tags": ["urgent"]}

    priority: Priority | UnsetType = UNSET
    run_at: Time | UnsetType = UNSET
    queue: Name | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    timeout: Duration | UnsetType = UNSET


_snooze = msgspec.json.Decoder(SnoozeRequest)
_patch = msgspec.json.Decoder(PatchRequest)


async def cancel(call: Call) -> Answer:
    """Cancel a job.

    One that waits has ended with this (200). One that runs is asked to stop (202): it ends at its
    next checkpoint, in whichever process it runs.
    """
    job = await call.service.cancel(job_id(call.id))
    return _shown(call, job, 202 if job.state is State.RUNNING else 200)


async def retry(call: Call) -> Answer:
    """Queue a finished job again, with fresh attempts."""
    return _shown(call, await call.service.retry(job_id(call.id)))


async def run_now(call: Call) -> Answer:
    """End a job's waiting for its time."""
    return _shown(call, await call.service.run_now(job_id(call.id)))


async def snooze(call: Call) -> Answer:
    """Let a waiting job wait on.

    The seconds are in the query (`?seconds=60`) or in a JSON body.
    """
    query = call.query()
    if "seconds" not in query:
        seconds = (await json_body(call, _snooze)).seconds
    else:
        try:
            seconds = float(query["seconds"])
        except ValueError:
            raise Malformed("seconds must be a number.") from None
    return _shown(call, await call.service.snooze(job_id(call.id), seconds))


async def amend(call: Call) -> Answer:
    """Change a job that waits.

    With `If-Match`, only when it still has the version that its ETag says.
    """
    changes = await json_body(call, _patch)
    given = {
        name: value for name, value in msgspec.structs.asdict(changes).items() if value is not UNSET
    }
    if "run_at" in given:
        given["run_at"] = moment("run_at", given["run_at"])
    id_ = job_id(call.id)
    demanded = b"if-match" in call.headers  # perhaps an empty one
    version = demanded_version(call.header(b"if-match")) if demanded else None
    return _shown(call, await call.service.amend(id_, Amendment(id_, version=version, **given)))


async def remove(call: Call) -> Answer:
    """Remove a finished job's record."""
    await call.service.remove(job_id(call.id))
    return Answer(204, b"")


def _shown(call: Call, job: Job, status: int = 200) -> Answer:
    """Without its bodies for who may steer jobs, but not read them."""
    include = views.BODIES if call.grant.may(Scope.READ) else frozenset()
    body = msgspec.json.encode(views.view(job, include))
    return Answer(status, body, {"ETag": etag(job.version)})


def _move(verb: str, call: Callable[[Call], Awaitable[Answer]], **more: Any) -> Route:
    return Route(
        method="POST",
        path=f"/jobs/{{id}}/{verb}",
        call=call,
        scope=Scope.WRITE,
        tells=("ETag",),
        **{"gives": {200: views.JobView}, "refuses": (NotFound, Conflict), **more},
    )


ROUTES = (
    _move("cancel", cancel, gives={200: views.JobView, 202: views.JobView}),
    _move("retry", retry),
    _move("run-now", run_now),
    _move(
        "snooze",
        snooze,
        query=(Param("seconds", Delay, "For how long, from now."),),
        takes={JSON: SnoozeRequest | None},
        refuses=(NotFound, Conflict, InvalidInput, UnsupportedMediaType),
    ),
    Route(
        method="PATCH",
        path="/jobs/{id}",
        call=amend,
        scope=Scope.WRITE,
        headers=(Param("If-Match", VersionTag, "The ETag that the job must still have."),),
        takes={JSON: PatchRequest},
        gives={200: views.JobView},
        tells=("ETag",),
        refuses=(NotFound, Conflict, Outdated, InvalidInput, UnsupportedMediaType),
    ),
    Route(
        method="DELETE",
        path="/jobs/{id}",
        call=remove,
        scope=Scope.WRITE,
        gives={204: None},
        refuses=(NotFound, Conflict),
    ),
)
