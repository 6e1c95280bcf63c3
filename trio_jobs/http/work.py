"""Work for workers elsewhere, in any language: claim jobs, keep them, say how they ended.

A worker needs three calls. All times are lengths in seconds, by the clock of the service.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from ..config import Settings
from ..errors import Denied, InvalidInput, Unavailable
from ..job import Error
from ..service import OTHERS, Scope
from ..service.remote import MOST_JOBS, Beat, Beaten, End, Ended, Ending, Told, Wish, Words
from ..service.remote.checks import check_after, check_timeout, check_words
from ..storage.records import Claimed, Progress, is_json
from . import strict, work_words
from .answer import Answer
from .bodies import JSON, json_body
from .call import Call, Route
from .problems import UnsupportedMediaType
from .query import job_id
from .waiting import while_there
from .work_words import (
    BeatenJobsView,
    BeatenView,
    BeatRequest,
    ClaimedJobsView,
    ClaimedView,
    ClaimRequest,
    EndedView,
    EndRequest,
    ErrorRequest,
    HeartbeatRequest,
    SettledView,
    SettleRequest,
    WishRequest,
    WordsRequest,
    lease_of,
    token_of,
)

_claim = msgspec.json.Decoder(ClaimRequest)
_heartbeat = msgspec.json.Decoder(HeartbeatRequest)
_settle = msgspec.json.Decoder(SettleRequest)


async def claim(call: Call) -> Answer:
    """Claim jobs.

    At most `max`, each under a lease of its own. With none there, the answer waits up to `wait`
    seconds; then `jobs` is empty, and `directive` counts: go on (`run`), claim no more (`quiet`),
    or leave (`stop`).
    """
    request = await json_body(call, _claim)
    working = call.service.working
    told = await while_there(call.receive, partial(working.claim, request.worker, _wish(request)))
    return _answer(ClaimedJobsView(_jobs(call, told, request), told.directive))


async def heartbeat(call: Call) -> Answer:
    """Keep jobs, and say how far they are.

    Each lease lasts as long as at its claim, from now on. `cancel` says that an attempt has to end,
    and why: it was cancelled, or has taken too long. It may still settle, as long as its lease
    lasts; heartbeats do not prolong that any more.
    """
    request = await json_body(call, _heartbeat, limit(call.settings))
    _demand_few(request.jobs)
    beats = [beat(one, f"/jobs/{at}") for at, one in enumerate(request.jobs)]
    beaten, directive = await call.service.working.heartbeat(request.worker, beats)
    return _answer(BeatenJobsView([beaten_view(one) for one in beaten], directive))


async def settle(call: Call) -> Answer:
    """Say how jobs have ended, and claim the next ones.

    done: with its `output` or `result`. fail: tried again, unless `retry` is false or no attempt
    is left, `after` some seconds or as the job's backoff says. release: handed back, uncharged.
    snooze: again `after` some seconds, uncharged. cancelled: it has stopped, because it was told to
    or by itself. Saying the same twice is fine; whose lease was lost is told so, and nothing has
    changed.
    """
    request = await json_body(call, _settle, limit(call.settings))
    _demand_few(request.jobs)
    ends = [_end(one, f"/jobs/{at}") for at, one in enumerate(request.jobs)]
    wish = None if request.claim is None else _wish(request.claim)
    settled = partial(call.service.working.settle, request.worker, ends, wish)
    ended, told = await while_there(call.receive if wish is not None else None, settled)
    jobs = [] if request.claim is None else _jobs(call, told, request.claim)
    return _answer(SettledView([ended_view(one) for one in ended], jobs, told.directive))


def limit(settings: Settings) -> int:
    """The most bytes that a body with what several jobs have to say may have."""
    return max(settings.max_upload, settings.max_body)


def _demand_few(jobs: Sequence[Any]) -> None:
    if len(jobs) > MOST_JOBS:
        raise InvalidInput(f"at most {MOST_JOBS:,} jobs at a time", "/jobs")


# ── in ────────────────────────────────────────────────────────────────────────────────────────


def _wish(request: WishRequest) -> Wish:
    queues = request.queues
    if isinstance(queues, list) and OTHERS in queues:
        raise InvalidInput("leave queues out for all of them", "/queues")
    return Wish(
        request.types,
        dict.fromkeys(queues, request.max) if isinstance(queues, list) else queues,
        request.max,
        request.lease,
        request.wait,
        request.last_chance,
    )


def beat(request: BeatRequest, pointer: str) -> Beat:
    lease, seconds = lease_of(job_id(request.id), request.lease_token)
    check_timeout(request.timeout, pointer)
    return Beat(lease, seconds, words(request, pointer), request.timeout)


def words(request: WordsRequest, pointer: str) -> Words:
    """What an attempt says; texts are lines of level INFO."""
    logs = [
        ("INFO", line) if isinstance(line, str) else (line.level, line.message)
        for line in request.logs
    ]
    saved = None if request.save is UNSET else bytes(request.save).decode()
    far = request.progress
    progress = None if far is None else Progress(far.done, far.total, far.note)
    said = Words(progress, logs, saved)
    check_words(said, pointer)
    return said


def _end(request: EndRequest, pointer: str) -> End:
    lease, _ = lease_of(job_id(request.id), request.lease_token)
    ending = Ending(request.outcome)
    check_after(ending, request.after, pointer)
    result, content_type = _result(request, ending, pointer)
    return End(
        lease,
        ending,
        result,
        content_type,
        error(request.error),
        request.retry,
        request.after,
        words(request, pointer),
    )


def _result(request: EndRequest, ending: Ending, pointer: str) -> tuple[bytes | None, str]:
    content_type = request.content_type or "application/octet-stream"
    output, raw = request.output, request.result
    if ending is not Ending.DONE and not (output is UNSET and raw is UNSET):
        raise InvalidInput(f"{ending} has no result", f"{pointer}/outcome")
    if output is not UNSET and raw is not UNSET:
        raise InvalidInput("output and result exclude each other", f"{pointer}/result")
    if output is not UNSET:
        return bytes(output), JSON
    if raw is not UNSET:
        return raw_result(raw, content_type, f"{pointer}/content_type"), content_type
    return None, content_type


def raw_result(data: bytes, content_type: str, pointer: str) -> bytes:
    """`data`, if it may be kept as `content_type`: what calls itself JSON has to be."""
    if not work_words.MEDIA_TYPE.match(content_type):
        raise InvalidInput("content_type is a media type, e.g. image/png", pointer)
    if is_json(content_type):
        strict.check(data, "result")
    return data


def error(said: ErrorRequest | str | None) -> Error | None:
    if said is None:
        return None
    if isinstance(said, str):
        said = ErrorRequest(message=said)
    return Error(said.type, said.message, said.traceback)


# ── out ───────────────────────────────────────────────────────────────────────────────────────


def _jobs(call: Call, told: Told, wish: WishRequest) -> list[ClaimedView]:
    working = call.service.working
    return [
        _claimed_view(job, wish.lease, working.seconds_left(job), call.service.now())
        for job in told.jobs
    ]


def _claimed_view(job: Claimed, lease: float, deadline: float, now: float) -> ClaimedView:
    view = ClaimedView(
        id=job.id,
        type=job.type,
        queue=job.queue,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        lease_token=token_of(job.lease, lease),
        lease_seconds=lease,
        deadline_seconds=round(deadline, 3),
        timeout=job.timeout,
        expires_seconds=None if job.deadline is None else round(max(0, job.deadline - now), 3),
        backoff=job.backoff,
        crashes=job.crashes,
        payload=job.payload,
        content_type=job.content_type,
        saved=None if job.saved is None else Raw(job.saved.encode()),
        traceparent=job.traceparent,
        tags=job.tags,
    )
    if job.payload_text is not None:
        view.input = Raw(view.payload)
    if job.params is not None:
        view.params = job.params
    return view


def beaten_view(one: Beaten) -> BeatenView:
    if one.seconds is None:
        return BeatenView(id=one.id, ok=False, problem=work_words.LOST)
    return BeatenView(id=one.id, ok=True, lease_seconds=round(one.seconds, 3), cancel=one.stop)


def ended_view(one: Ended) -> EndedView:
    if one.state is None:
        return EndedView(id=one.id, ok=False, problem=work_words.LOST)
    return EndedView(id=one.id, ok=True, state=one.state)


def _answer(view: Any) -> Answer:
    return Answer(200, msgspec.json.encode(view))


_REFUSES = (InvalidInput, Denied, Unavailable, UnsupportedMediaType)


def _route(path: str, call: Any, takes: Any, gives: Any) -> Route:
    return Route(
        method="POST",
        path=f"/worker/{path}",
        call=call,
        scope=Scope.WORK,
        takes={JSON: takes},
        gives={200: gives},
        refuses=_REFUSES,
    )


ROUTES = (
    _route("claim", claim, ClaimRequest, ClaimedJobsView),
    _route("heartbeat", heartbeat, HeartbeatRequest, BeatenJobsView),
    _route("settle", settle, SettleRequest, SettledView),
)
