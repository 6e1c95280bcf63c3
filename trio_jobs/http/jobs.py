"""The jobs resource: each call parses, asks the service one thing, and renders.

Plain functions from bytes to Answers, so that the Quart routes and the hot path say the same.
"""

from typing import Any

import msgspec

from ..config import Settings
from ..errors import TooLarge
from ..ids import is_job_id
from ..service import Service
from ..storage.records import is_json
from . import wire
from .answer import Answer
from .problems import Malformed

_LIST_PARAMETERS = frozenset({"status", "type", "limit", "cursor"})


async def create(
    service: Service,
    settings: Settings,
    *,
    body: bytes,
    content_type: str,
    query_string: bytes,
    prefer: str,
) -> Answer:
    """POST /jobs: one job, an array of jobs, or a raw upload."""
    if is_json(content_type):
        if len(body) > settings.max_body:
            raise TooLarge(body_too_large(settings))
        wire.parse_query(query_string, frozenset())
        orders, many = wire.parse_json(body, settings.max_batch)
    else:
        orders = [wire.parse_upload(body, content_type, wire.parse_query(query_string))]
        many = False
    jobs = await service.enqueue(orders)
    if many:
        views = [wire.view(job) for job in jobs]
        return Answer(201, msgspec.json.encode(wire.JobsView(views)))
    headers = {"Location": f"/jobs/{jobs[0].id}"}
    if prefer.replace(" ", "").lower() == "return=minimal":
        headers["Preference-Applied"] = "return=minimal"
        minimal = wire.MinimalView(jobs[0].id, jobs[0].state.status)
        return Answer(201, msgspec.json.encode(minimal), headers)
    return Answer(201, msgspec.json.encode(wire.view(jobs[0])), headers)


async def read(service: Service, id_: str, *, query_string: bytes) -> Answer:
    """GET /jobs/{id}."""
    wire.parse_query(query_string, frozenset())
    id_ = id_.lower()
    if not is_job_id(id_):
        raise Malformed("A job id is a UUID, e.g. 0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d.")
    return Answer(200, msgspec.json.encode(wire.view(await service.get(id_))))


async def index(service: Service, *, query_string: bytes) -> Answer:
    """GET /jobs: newest first, without payloads and results."""
    query = wire.parse_query(query_string, _LIST_PARAMETERS)
    page = await service.list_jobs(
        status=query.get("status"),
        type=query.get("type"),
        before=_number("cursor", query["cursor"]) if "cursor" in query else None,
        limit=_number("limit", query.get("limit", "50")),
    )
    views = [wire.view(job, bodies=False) for job in page.jobs]
    next_ = None if page.next is None else str(page.next)
    return Answer(200, msgspec.json.encode(wire.PageView(views, next_)))


def body_limit(settings: Settings, scope: dict[str, Any]) -> int:
    """The most bytes that a request's body may have, known from its head."""
    if scope["method"] == "POST" and scope["path"] == "/jobs":
        content_type = dict(reversed(scope["headers"])).get(b"content-type", b"")
        if not is_json(content_type.decode("latin-1")):
            return max(settings.max_upload, settings.max_body)
    return settings.max_body


def body_too_large(settings: Settings) -> str:
    return f"the body is larger than the limit (max_body): {settings.max_body:,} bytes"


def _number(name: str, text: str) -> int:
    # isdecimal alone would let through digits of other scripts, and more of them than an int64.
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise Malformed(f"{name} must be a whole number.")
    return int(text)
