"""The OpenAPI 3.1 document, made from the routes: there is nothing to keep in step by hand."""

import inspect
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, get_args

import msgspec

from .. import __version__
from ..errors import TooLarge
from . import problems, schemas
from .call import Param, Route
from .ndjson import MEDIA_TYPE as NDJSON
from .problems import Kind, Problem
from .schemas import Schema, Schemas
from .words import JobId, Name, Slug, TokenId

PATH_PARAMS = {
    "/jobs/{id}": (JobId, "The job's id.", "0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d"),
    "/worker/jobs/{id}": (JobId, "The job's id.", "0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d"),
    "/queues/{name}": (Name, "The queue's name.", "default"),
    "/problems/{slug}": (Slug, "The last part of a problem's `type`.", "invalid"),
    "/tokens/{id}": (TokenId, "The token's id.", "tok_0123456789ab"),
}
"""What stands in paths, by their beginnings: its type, what it is, an example."""
TEXT = {"type": "string"}
# Which of them an answer has, `Route.tells` says; those of every answer are ALWAYS.
HEADERS: dict[str, tuple[Schema, str]] = {
    "Allow": (TEXT, "The methods that the path knows."),
    "Content-Disposition": (TEXT, "Always an attachment, with a name from the job's id."),
    "ETag": (TEXT, "The job's version, for If-None-Match and If-Match."),
    "Idempotent-Replayed": (
        {"type": "string", "enum": ["true"]},
        "The Idempotency-Key was known: nothing is new.",
    ),
    "Link": (TEXT, 'The next page, as `rel="next"`.'),
    "Location": (TEXT, "The path of the new job."),
    "Preference-Applied": (TEXT, "What of Prefer was heeded."),
    "Retry-After": ({"type": "integer", "minimum": 1}, "Seconds until it is worth trying again."),
    "Trio-Jobs-Version": (TEXT, "The version of this server."),
    "WWW-Authenticate": (TEXT, "How to say who asks."),
    "X-Request-ID": (TEXT, "The request's id, in the server's log as well."),
}
COMMON = {
    HTTPStatus.BAD_REQUEST: "Malformed",
    HTTPStatus.UNAUTHORIZED: "Unauthorized",
    HTTPStatus.FORBIDDEN: "Forbidden",
    HTTPStatus.REQUEST_URI_TOO_LONG: "TargetTooLong",
    HTTPStatus.TOO_MANY_REQUESTS: "TooManyRequests",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "HeadTooLarge",
    HTTPStatus.INTERNAL_SERVER_ERROR: "InternalError",
    HTTPStatus.SERVICE_UNAVAILABLE: "Unavailable",
}
"""What every call may end with; 401 only where a scope is asked for."""

ALWAYS = ("X-Request-ID", "Trio-Jobs-Version")
_NAMELESS: Schema = {"style": "form", "explode": True}
"""How OpenAPI says that the members of an object are parameters themselves."""
ABOUT = """\
A durable job queue: post a job, watch it, cancel it, fetch its result.

Errors are RFC 9457 problem details, always; times are RFC 3339 in UTC; durations are seconds.
No token is needed while the service is bound to its own machine, unless `--auth required` says so.
"""


def describe(routes: Iterable[Route]) -> Schema:
    """The document, as JSON to be."""
    types = Schemas()
    types.of(Problem)
    paths: dict[str, Schema] = {}
    tags: dict[str, Schema] = {}
    for route in routes:
        tags.setdefault(_tag(route), _tag_object(route))
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, types)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "trio_jobs",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": list(tags.values()),
        "paths": paths,
        "components": {
            "schemas": dict(sorted(types.components.items())),
            "headers": {
                name: {"description": about, "schema": schema}
                for name, (schema, about) in HEADERS.items()
            },
            "responses": {name: _common(status) for status, name in COMMON.items()},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token `tj_…` with the scope that the call names.",
                }
            },
        },
    }


def _operation(route: Route, types: Schemas) -> Schema:
    doc = inspect.getdoc(route.call) or ""
    summary, _, rest = doc.partition("\n")
    operation: Schema = {
        "operationId": operation_id(route),
        "tags": [_tag(route)],
        "summary": summary.rstrip("."),
    }
    about = " ".join(rest.split("\n")).strip()
    if route.scope is not None:
        about = f"{about}\n\nNeeds the scope `{route.scope}`.".strip()
        operation["security"] = [{"token": [route.scope.value]}, {}]
        operation["x-scope"] = route.scope.value
    else:
        operation["security"] = []
    if about:
        operation["description"] = about
    if parameters := _parameters(route, types):
        operation["parameters"] = parameters
    if route.takes:
        operation["requestBody"] = _body(route, types)
    operation["responses"] = _answers(route, types)
    return operation


def operation_id(route: Route) -> str:
    """`get_job`, `post_jobs`, `cancel_job`, `get_job_attempts`: from the method and the path.

    A noun that is followed by its name or id is one of its kind. After POST, the last word of a
    longer path is what is done.
    """
    parts = (route.path.strip("/") or "welcome").split("/")
    words = [
        part.removesuffix("s") if following.startswith("{") else part
        for part, following in zip(parts, [*parts[1:], ""], strict=True)
        if not part.startswith("{")
    ]
    verb = route.method.lower()
    if verb == "post" and len(words) > 1:
        verb = words.pop()
    name = "_".join([verb, *words])
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _tag(route: Route) -> str:
    return route.call.__module__.rpartition(".")[2]


def _tag_object(route: Route) -> Schema:
    about = inspect.getdoc(inspect.getmodule(route.call)) or ""
    return {"name": _tag(route), "description": " ".join(about.partition("\n\n")[0].split("\n"))}


def _parameters(route: Route, types: Schemas) -> list[Schema]:
    beginnings = [start for start in PATH_PARAMS if f"{route.path}/".startswith(f"{start}/")]
    return [
        *(_in_path(start, types) for start in beginnings),
        *(_parameter(param, "query", types) for param in route.query),
        *(_parameter(param, "header", types) for param in route.headers),
        *([_parameter(route.open, "query", types) | _NAMELESS] if route.open else ()),
    ]


def _in_path(beginning: str, types: Schemas) -> Schema:
    type_, about, sample = PATH_PARAMS[beginning]
    name = beginning.partition("{")[2].rstrip("}")
    param = _parameter(Param(name, type_, about), "path", types)
    return param | {"required": True, "example": sample}


def _parameter(param: Param, place: str, types: Schemas) -> Schema:
    return {
        "name": param.name,
        "in": place,
        "description": param.about,
        "schema": types.of(param.type),
        **({"required": True} if param.required else {}),
    }


def _body(route: Route, types: Schemas) -> Schema:
    optional = any(type(None) in get_args(type_) for type_ in route.takes.values())
    content = {}
    for media_type, type_ in route.takes.items():
        schema, sample = types.of(type_), schemas.example(type_)
        if media_type == NDJSON:
            about = "One JSON object a line, each as `x-line` says."
            schema = {"type": "string", "description": about, "x-line": schema}
            sample = msgspec.json.encode(sample).decode() + "\n"
        content[media_type] = {"schema": schema}
        if sample is not None:
            content[media_type]["example"] = sample
    return {"required": not optional, "content": content}


def _answers(route: Route, types: Schemas) -> Schema:
    answers: dict[int, Schema] = {}
    for status, type_ in route.gives.items():
        answers[status] = {
            "description": HTTPStatus(status).phrase,
            "headers": _header_refs(*ALWAYS, *route.tells),
        }
        if type_ is not None:
            answers[status]["content"] = _content(type_, types)
    for status, kinds in _refusals(route).items():
        answers[status] = _refusal(status, kinds)
    for status, name in COMMON.items():
        if status != HTTPStatus.UNAUTHORIZED or route.scope is not None:
            if status in route.gives:  # it has a body of its own as well
                answers[int(status)]["content"] |= _common(status)["content"]
            else:
                answers[int(status)] = {"$ref": f"#/components/responses/{name}"}
    return {str(status): answers[status] for status in sorted(answers)}


def _content(type_: Any, types: Schemas) -> Schema:
    if isinstance(type_, Mapping):
        return {media_type: {"schema": types.of(one)} for media_type, one in type_.items()}
    if isinstance(type_, str):
        return {type_: {"schema": TEXT} if type_.startswith("text/") else {}}
    return {"application/json": {"schema": types.of(type_)}}


def _refusals(route: Route) -> dict[int, list[Kind]]:
    """The kinds of problems that this call may end with, by status."""
    errors = [*route.refuses, *([TooLarge] if route.takes else [])]
    kinds: dict[int, list[Kind]] = {}
    for kind in dict.fromkeys(problems.kind_of(error) for error in errors):
        kinds.setdefault(kind.status, []).append(kind)
    return kinds


def _common(status: HTTPStatus) -> Schema:
    ours = [*problems.KINDS.values(), problems.INTERNAL]
    kinds = [kind for kind in ours if kind.status == status]
    return _refusal(
        status, kinds or [kind for kind in problems.BY_SLUG.values() if kind.status == status]
    )


def _refusal(status: int, kinds: Iterable[Kind]) -> Schema:
    about = "\n\n".join(f"{kind.title}. {kind.about}" for kind in kinds)
    extra = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}
    return {
        "description": about or HTTPStatus(status).phrase,
        "headers": _header_refs(*ALWAYS, *extra.get(status, [])),
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _header_refs(*names: str) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
