"""One job at a time, for curl: the job is in the path, its lease in the header Lease-Token."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ..errors import InvalidInput, LeaseLost, TooLarge
from ..service import Scope
from ..service.remote import End, Ending
from ..service.remote.checks import check_after
from ..storage.records import Lease, is_json
from .answer import Answer
from .bodies import JSON, body_too_large, json_body
from .call import Call, Param, Route
from .problems import UnsupportedMediaType
from .query import job_id
from .work import beat, beaten_view, ended_view, error, limit, raw_result
from .work_words import (
    BeatenView,
    BeatRequest,
    EndedView,
    ErrorRequest,
    FailRequest,
    LeaseToken,
    WordsRequest,
    lease_of,
)

UPLOAD = "application/octet-stream"
_words = msgspec.json.Decoder(WordsRequest)
_fail = msgspec.json.Decoder(FailRequest)


async def heartbeat(call: Call) -> Answer:
    """Keep one job.

    Without a body, or with what there is to say as JSON.
    """
    said = await json_body(call, _words, limit(call.settings)) if call.body else WordsRequest()
    token = call.header(b"lease-token")
    request = BeatRequest(id=call.id, lease_token=token, **msgspec.structs.asdict(said))
    [beaten] = await call.service.working.beat([beat(request, "")])
    if beaten.seconds is None:
        raise _lost(call)
    return Answer(200, msgspec.json.encode(beaten_view(beaten)))


async def complete(call: Call) -> Answer:
    """One job is done.

    The body is its result, as it is; of the media type that the request says.
    """
    most = limit(call.settings)
    if len(call.body) > most:
        raise TooLarge(body_too_large(most))
    content_type = call.content_type or UPLOAD
    result = raw_result(call.body, content_type, "") if call.body else None
    return await _ended(call, End(_lease(call), Ending.DONE, result, content_type))


async def fail(call: Call) -> Answer:
    """One job has failed.

    The body says why: JSON as in `settle`, or the error's message as plain text.
    """
    if is_json(call.content_type) and call.body:
        said = await json_body(call, _fail)
        check_after(Ending.FAIL, said.after, "")
        end = End(
            _lease(call),
            Ending.FAIL,
            error=error(said.error),
            retry=said.retry,
            after=said.after,
        )
    else:
        text = call.body.decode("utf-8", "replace")
        said_so = error(ErrorRequest(message=text)) if text else None
        end = End(_lease(call), Ending.FAIL, error=said_so)
    return await _ended(call, end)


async def release(call: Call) -> Answer:
    """Hand one job back, uncharged."""
    return await _ended(call, End(_lease(call), Ending.RELEASE))


def _lease(call: Call) -> Lease:
    lease, _ = lease_of(job_id(call.id), call.header(b"lease-token"))
    return lease


async def _ended(call: Call, end: End) -> Answer:
    [ended] = await call.service.working.end([end])
    if ended.state is None:
        raise _lost(call)
    return Answer(200, msgspec.json.encode(ended_view(ended)))


def _lost(call: Call) -> LeaseLost:
    return LeaseLost(f"This lease of job {call.id} is lost: the job is somebody else's by now.")


def _route(
    verb: str, call: Callable[[Call], Awaitable[Answer]], takes: Any, gives: Any = EndedView
) -> Route:
    return Route(
        method="POST",
        path=f"/worker/jobs/{{id}}/{verb}",
        call=call,
        scope=Scope.WORK,
        headers=(Param("Lease-Token", LeaseToken, "As the claim gave it.", required=True),),
        takes=takes,
        gives={200: gives},
        refuses=(LeaseLost, InvalidInput, UnsupportedMediaType),
    )


ROUTES = (
    _route("heartbeat", heartbeat, {JSON: WordsRequest | None}, BeatenView),
    _route("complete", complete, {UPLOAD: bytes}),
    _route("fail", fail, {JSON: FailRequest | None, "text/plain": str | None}),
    _route("release", release, {}),
)
