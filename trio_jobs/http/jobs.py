"""The jobs resource: each call parses, asks the service one thing, and renders.

Plain functions from bytes to Answers, so that the Quart routes and the hot path say the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from ..config import Settings
from ..errors import InvalidInput, TooLarge
from ..service import Placed, Service
from ..storage.records import is_json
from . import filters, idempotency, ndjson, orders, passing, views, waiting
from .answer import Answer
from .asgi import Receive
from .query import etag, job_id, known_version, parse_query, tags, whole_number

_WAIT = frozenset({"wait"})


async def create(
    service: Service,
    settings: Settings,
    *,
    body: bytes,
    content_type: str,
    query_string: bytes,
    prefer: str,
    key: str,
    receive: Receive | None = None,
) -> Answer:
    """POST /jobs: one job, an array of jobs, or a raw upload."""
    if is_json(content_type):
        if len(body) > settings.max_body:
            raise TooLarge(body_too_large(settings))
        wish = orders.parse_json(body, settings.max_batch, service.now)
        if query_string:
            wish = _waited_for(wish, parse_query(query_string, _WAIT))
    else:
        wish = orders.parse_upload(body, content_type, parse_query(query_string), service.now)
    mark = None
    if key:
        print_ = idempotency.fingerprint("POST", "/jobs", query_string, content_type, body)
        mark = idempotency.parse_key(key), print_
    placed = await service.enqueue(wish.orders, mark)
    if wish.many:
        return _all_placed(placed)
    one = placed[0]
    status = 200 if one.deduplicated else 201
    headers = {"Location": f"/jobs/{one.job.id}"}
    if one.replayed:
        headers["Idempotent-Replayed"] = "true"
    wait, minimal = wish.wait, False
    if prefer:
        preferences = waiting.Preferences(prefer)
        minimal = preferences.minimal
        wait = preferences.wait if wait is None else wait
    if wait:
        job = await waiting.wait(service, one.job.id, wait, receive=receive)
        one = one._replace(job=job)
    if minimal:
        headers["Preference-Applied"] = "return=minimal"
        return Answer(status, msgspec.json.encode(views.minimal_view(one)), headers)
    return Answer(status, msgspec.json.encode(views.placed_view(one)), headers)


def _waited_for(wish: orders.Wish, query: Mapping[str, str]) -> orders.Wish:
    """`wish` with the wait that the query asks for; what the body asks for goes before."""
    if "wait" not in query:
        return wish
    if wish.many:
        raise InvalidInput("wait is for a request with one job")
    wait = waiting.seconds(query["wait"])
    return wish if wish.wait is not None else wish._replace(wait=wait)


def _all_placed(placed: Sequence[Placed]) -> Answer:
    status = 200 if all(one.deduplicated for one in placed) else 201
    headers = {"Idempotent-Replayed": "true"} if placed[0].replayed else {}
    shown = views.JobsView([views.placed_view(one) for one in placed])
    return Answer(status, msgspec.json.encode(shown), headers)


async def read(
    service: Service,
    id_: str,
    *,
    query_string: bytes,
    prefer: str,
    if_none_match: str,
    receive: Receive | None = None,
) -> Answer:
    """GET /jobs/{id}: at once, or with `wait` when it has ended or is no longer as it was."""
    query = parse_query(query_string, _WAIT)
    id_ = job_id(id_)
    wait = waiting.seconds(query["wait"]) if "wait" in query else None
    if prefer and wait is None:
        wait = waiting.Preferences(prefer).wait
    known = tags(if_none_match) if if_none_match else None
    if wait:
        version = known_version(known) if known else None
        job = await waiting.wait(service, id_, wait, version=version, receive=receive)
    else:
        job = await service.get(id_)
    tag = etag(job.version)
    if known and (tag in known or "*" in known):
        return Answer(304, b"", {"ETag": tag})
    return Answer(200, msgspec.json.encode(views.view(job)), {"ETag": tag})


async def index(service: Service, *, query_string: bytes) -> Answer:
    """GET /jobs: newest first, without payloads and results."""
    query = parse_query(query_string)
    page = await service.list_jobs(
        filters.from_query(
            {name: query[name] for name in query if name not in ("limit", "cursor")}
        ),
        before=whole_number("cursor", query["cursor"]) if "cursor" in query else None,
        limit=whole_number("limit", query.get("limit", "50")),
    )
    shown = [passing.job_in_passing(job, service.redactor) for job in page.jobs]
    if page.next is None:
        return Answer(200, msgspec.json.encode(views.PageView(shown, None)))
    more = urlencode({**query, "cursor": page.next})
    return Answer(
        200,
        msgspec.json.encode(views.PageView(shown, str(page.next))),
        {"Link": f'</jobs?{more}>; rel="next"'},
    )


def body_limit(settings: Settings, scope: dict[str, Any]) -> int | None:
    """The most bytes that a request's body may have, known from its head; None for any number."""
    if scope["method"] == "POST" and scope["path"] == "/jobs":
        content_type = dict(reversed(scope["headers"])).get(b"content-type", b"").decode("latin-1")
        if ndjson.is_ndjson(content_type):
            return None
        if not is_json(content_type):
            return max(settings.max_upload, settings.max_body)
    return settings.max_body


def body_too_large(settings: Settings) -> str:
    return f"the body is larger than the limit (max_body): {settings.max_body:,} bytes"
