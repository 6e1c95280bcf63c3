"""Jobs: make them, look at one, list them.

Each call parses, asks the service one thing, and renders: plain functions from bytes to
Answers, so that the Quart routes and the hot path say the same.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec

from ..config import Settings
from ..errors import Conflict, InvalidInput, KeyReused, NotFound, TooLarge, UnknownType
from ..redaction import Redactor
from ..service import Placed, Scope
from ..storage.records import Job, is_json
from . import filters, idempotency, ndjson, orders, passing, requests, views, waiting
from .answer import Answer
from .asgi import headers_of
from .bodies import JSON, body_too_large, off_loop
from .call import Call, Param, Route
from .problems import Malformed, UnsupportedMediaType
from .query import etag, job_id, known_version, parse_query, tags, trace_context, whole_number
from .words import Limit, Position, Wait, says, some_of

UPLOAD = "application/octet-stream"


async def create(call: Call) -> Answer:
    """Enqueue a job, an array of jobs, or bytes as they are.

    A JSON object is one job, an array (of up to 1,000) all or none. Lines of JSON
    (application/x-ndjson) are stored in slices and reported at the end. Any other body is the
    payload itself: `type` and the options are in the query then, and so are the handler's own
    parameters. With `wait`, the answer comes when the job has ended or the time is over.
    """
    service, wish = call.service, await _wish(call)
    mark = None
    if key := call.header(b"idempotency-key"):
        print_ = idempotency.fingerprint(
            "POST", "/jobs", call.query_string, call.content_type, call.body
        )
        mark = idempotency.parse_key(key), print_
    placed = await service.enqueue(wish.orders, mark)
    may_read = call.grant.may(Scope.READ)
    if wish.many:
        return _all_placed(placed, may_read=may_read)
    one = placed[0]
    status = 200 if one.deduplicated else 201
    headers = {"Location": f"{call.prefix}/jobs/{one.job.id}"}
    if one.replayed:
        headers["Idempotent-Replayed"] = "true"
    wait, minimal = wish.wait, False
    if prefer := call.header(b"prefer"):
        preferences = waiting.Preferences(prefer)
        minimal = preferences.minimal
        wait = preferences.wait if wait is None else wait
    if wait:
        job = await waiting.wait(service, one.job.id, wait, receive=call.receive)
        one = one._replace(job=job)
    if minimal:
        headers["Preference-Applied"] = "return=minimal"
        return Answer(status, msgspec.json.encode(views.minimal_view(one)), headers)
    return Answer(status, msgspec.json.encode(views.placed_view(one, may_read=may_read)), headers)


async def _wish(call: Call) -> orders.Wish:
    """What the body asks for, and the query and the headers with it."""
    settings, now = call.settings, call.service.now
    if is_json(call.content_type):
        if len(call.body) > settings.max_body:
            raise TooLarge(body_too_large(settings.max_body))
        read = partial(orders.parse_json, call.body, settings.max_batch, now)
        wish = await off_loop(len(call.body), read)
        if call.query_string:
            wish = _waited_for(wish, parse_query(call.query_string, _WAIT))
    else:
        wish = orders.parse_upload(call.body, call.content_type, call.query(), now)
    traceparent = trace_context(call.header(b"traceparent"))
    return wish if traceparent is None else wish.within(traceparent)


def _waited_for(wish: orders.Wish, query: Mapping[str, str]) -> orders.Wish:
    """`wish` with the wait that the query asks for; what the body asks for goes before."""
    if "wait" not in query:
        return wish
    if wish.many:
        raise InvalidInput("wait is for a request with one job")
    wait = waiting.seconds(query["wait"])
    return wish if wish.wait is not None else wish._replace(wait=wait)


def _all_placed(placed: Sequence[Placed], *, may_read: bool) -> Answer:
    status = 200 if all(one.deduplicated for one in placed) else 201
    headers = {"Idempotent-Replayed": "true"} if placed[0].replayed else {}
    shown = views.JobsView([views.placed_view(one, may_read=may_read) for one in placed])
    return Answer(status, msgspec.json.encode(shown), headers)


async def read(call: Call) -> Answer:
    """Show a job with its input and output.

    With `wait`, the answer comes when it has ended or the time is over; with `If-None-Match` too,
    when it is no longer as it was.
    """
    query = call.query()
    service, id_ = call.service, job_id(call.id)
    wait = waiting.seconds(query["wait"]) if "wait" in query else None
    prefer, if_none_match = call.header(b"prefer"), call.header(b"if-none-match")
    if prefer and wait is None:
        wait = waiting.Preferences(prefer).wait
    known = tags(if_none_match) if if_none_match else None
    if wait:
        version = known_version(known) if known else None
        job = await waiting.wait(service, id_, wait, version=version, receive=call.receive)
    else:
        job = await service.get(id_)
    tag = etag(job.version)
    if known and (tag in known or "*" in known):
        return Answer(304, b"", {"ETag": tag})
    return Answer(200, msgspec.json.encode(views.view(job)), {"ETag": tag})


async def index(call: Call) -> Answer:
    """List jobs, newest first.

    A comma in the text of a filter means "or". Payloads and results are left out unless `include`
    names them.
    """
    query = call.query()
    include = _included(query.get("include", ""))
    page = await call.service.list_jobs(
        filters.from_query({name: query[name] for name in query if name not in _PAGING}),
        before=whole_number("cursor", query["cursor"]) if "cursor" in query else None,
        limit=whole_number("limit", query.get("limit", "50")),
        bodies=bool(include),
    )
    show = partial(_in_passing, page.jobs, include, call.service.redactor)
    shown = await off_loop(sum(map(_size, page.jobs)), show)
    if page.next is None:
        return Answer(200, msgspec.json.encode(views.PageView(shown, None)))
    more = urlencode({**query, "cursor": page.next})
    return Answer(
        200,
        msgspec.json.encode(views.PageView(shown, str(page.next))),
        {"Link": f'<{call.prefix}/jobs?{more}>; rel="next"'},
    )


def _size(job: Job) -> int:
    """Characters in which secrets are looked for."""
    texts = [job.payload_text, job.payload_hex, job.result_text, job.result_hex]
    if job.error is not None:
        texts += [job.error.message, job.error.traceback]
    return sum(len(text) for text in texts if text)


def _in_passing(
    jobs: Sequence[Job], include: frozenset[str], redactor: Redactor
) -> list[views.JobView]:
    return [passing.job_in_passing(job, redactor, include) for job in jobs]


def _included(text: str) -> frozenset[str]:
    chosen = frozenset(word for word in text.split(",") if word)
    if unknown := sorted(chosen - views.BODIES):
        known = ", ".join(sorted(views.BODIES))
        raise Malformed(f"include takes {known}; not {unknown[0]!r}.")
    return chosen


def body_limit(settings: Settings, scope: dict[str, Any]) -> int | None:
    """The most bytes that a request's body may have, known from its head; None for any number."""
    if scope["method"] == "POST" and scope["path"] == "/jobs":
        content_type = headers_of(scope).get(b"content-type", b"").decode("latin-1")
        if ndjson.is_ndjson(content_type):
            return None
        if not is_json(content_type):
            return max(settings.max_upload, settings.max_body)
    if scope["path"].startswith("/worker/"):  # the results of several jobs may come together
        return max(settings.max_upload, settings.max_body)
    return settings.max_body


_WAIT_PARAM = Param("wait", Wait, "Answer when the job has ended, after so many seconds at most.")
_PREFER = Param("Prefer", str, "`wait=30`; for a new job also `return=minimal`.")
_BODIES = Annotated[str, says(pattern=f"^({some_of(sorted(views.BODIES))})?,*$")]
_WAIT = frozenset({_WAIT_PARAM.name})
_PAGING_PARAMS = (
    Param("limit", Limit, "Up to 500 (50 with bodies); 50 unless told."),
    Param("cursor", Position, "Where the page before said to go on (`next`)."),
    Param("include", _BODIES, "Bodies to show, too: input, output, payload, result."),
)
_PAGING = frozenset(param.name for param in _PAGING_PARAMS)

CREATE = Route(
    method="POST",
    path="/jobs",
    call=create,
    scope=Scope.WRITE,
    query=(
        _WAIT_PARAM,
        *(
            Param(field.name, field.type, "For an upload: as in the JSON of a job.")
            for field in msgspec.structs.fields(requests.UploadOptions)
            if field.name != "wait"
        ),
    ),
    headers=(
        Param("Idempotency-Key", str, "The same key gets the same job, for 24 h."),
        Param("traceparent", str, "W3C trace context; it is kept with the job and passed on."),
        _PREFER,
    ),
    takes={
        JSON: requests.JobRequest | requests.JobRequests,
        ndjson.MEDIA_TYPE: requests.LineRequest,
        UPLOAD: bytes,
    },
    gives={
        200: views.JobView | views.JobsView | views.MinimalView | ndjson.Report,
        201: views.JobView | views.JobsView | views.MinimalView,
    },
    tells=("Location", "Idempotent-Replayed", "Preference-Applied"),
    refuses=(InvalidInput, UnknownType, KeyReused, Conflict, TooLarge, UnsupportedMediaType),
    open=Param("more", dict[str, str], "For an upload: what its type takes."),
)

READ = Route(
    method="GET",
    path="/jobs/{id}",
    call=read,
    scope=Scope.READ,
    query=(_WAIT_PARAM,),
    headers=(_PREFER, Param("If-None-Match", str, "The ETag that is known.")),
    gives={200: views.JobView, 304: None},
    tells=("ETag",),
    refuses=(NotFound,),
)

ROUTES = (
    CREATE,
    READ,
    Route(
        method="GET",
        path="/jobs",
        call=index,
        scope=Scope.READ,
        query=(*filters.PARAMS, *_PAGING_PARAMS),
        gives={200: views.PageView},
        tells=("Link",),
        refuses=(InvalidInput,),
        open=filters.OPEN,
    ),
)
