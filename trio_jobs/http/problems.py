"""Errors as RFC 9457 problem details: one table, error -> status, slug, title, explanation.

Everything that goes wrong on the wire is one of these, the framework's own 404, 405, 413 and 500
included. `type` is `/problems/<slug>`, which this server explains.
"""

from http import HTTPStatus
from math import ceil

import msgspec

from ..errors import (
    Conflict,
    Denied,
    InvalidInput,
    KeyReused,
    LeaseLost,
    NotFound,
    Outdated,
    QueueFull,
    TooLarge,
    TrioJobsError,
    Unavailable,
    Uncertain,
    UnknownType,
)
from .edge.reply import PROBLEMS as EDGE_PROBLEMS

MEDIA_TYPE = "application/problem+json"
WHO_ASKS = "This needs a valid token: Authorization: Bearer tj_…."


class Malformed(TrioJobsError):
    """The request cannot be read."""


class UnsupportedMediaType(TrioJobsError):
    """The body is of a kind that this call does not take."""


class Forbidden(TrioJobsError):
    """This may not be asked from where it comes from."""


class Unauthenticated(TrioJobsError):
    """Who asks has not said who it is, or not so that we believe it."""


class TooManyRequests(TrioJobsError):
    """This token asks too often; `retry_after` is in seconds."""

    def __init__(self, detail: str, retry_after: float) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class NoSuchPath(TrioJobsError):
    """Nothing lives at this path."""


class MethodNotAllowed(TrioJobsError):
    """This path does not know the method."""


class Kind(msgspec.Struct, frozen=True):
    """One kind of problem; `about` is what its page says."""

    slug: str
    status: int
    title: str
    about: str


INTERNAL = Kind(
    "internal",
    500,
    "Internal error",
    "A bug in the server. The log has the details under the request id.",
)

# The first row whose class fits is taken: subclasses stand before their bases.
KINDS: dict[type[Exception], Kind] = {
    UnknownType: Kind(
        "unknown-type",
        422,
        "Unknown job type",
        "No handler of this server has the type that was named. The detail lists the known ones.",
    ),
    TooLarge: Kind(
        "too-large",
        413,
        "Too large",
        "The request is larger than a limit of this server. The detail names the setting.",
    ),
    InvalidInput: Kind(
        "invalid",
        422,
        "Invalid request",
        "The body is JSON, but not what this call takes. Each error points at the member at fault.",
    ),
    NotFound: Kind(
        "not-found",
        404,
        "Not found",
        "There is no job with this id, or no longer, or it has no such part.",
    ),
    KeyReused: Kind(
        "key-reused",
        422,
        "Idempotency-Key used before",
        "The same Idempotency-Key came with another request before. Draw a new key for each.",
    ),
    Outdated: Kind(
        "outdated",
        412,
        "Changed meanwhile",
        "The job is no longer as the If-Match says. Read it again, then decide.",
    ),
    LeaseLost: Kind(
        "lease-lost",
        409,
        "Lease lost",
        "The lease has run out, or its attempt has ended: the job is somebody else's by now. "
        "Drop what was done for it.",
    ),
    Conflict: Kind(
        "conflict",
        409,
        "Conflict",
        "The job's state, or another job with the same unique key, forbids this.",
    ),
    Forbidden: Kind(
        "forbidden",
        403,
        "Forbidden",
        "The Host is no name of this service, or a web page of another site asks.",
    ),
    Denied: Kind(
        "denied",
        403,
        "Not allowed",
        "The token is valid, but not good for this call, or not for jobs of this type or queue.",
    ),
    Unauthenticated: Kind(
        "unauthenticated",
        401,
        "Token needed",
        "Send Authorization: Bearer tj_…. `trio-jobs token create` makes tokens.",
    ),
    TooManyRequests: Kind(
        "too-many-requests",
        429,
        "Too many requests",
        "This token asks more often than it may. Retry after the time that the answer names.",
    ),
    QueueFull: Kind(
        "queue-full",
        503,
        "Queue full",
        "As many jobs wait in this queue as may. Retry after the time that the answer names.",
    ),
    Uncertain: Kind(
        "uncertain",
        503,
        "Outcome unknown",
        "The store failed while it committed: the job may or may not be stored.",
    ),
    Unavailable: Kind(
        "unavailable",
        503,
        "Not available right now",
        "The server is stopping, or its store is busy or full. Retry after the time that it names.",
    ),
    Malformed: Kind(
        "malformed",
        400,
        "Malformed request",
        "The request cannot be read: it is not JSON, or has a parameter that is not known.",
    ),
    UnsupportedMediaType: Kind(
        "unsupported-media-type",
        415,
        "Unsupported media type",
        "Send Content-Type: application/json, or name the type in the URL to upload raw bytes.",
    ),
    NoSuchPath: Kind("no-such-path", 404, "No such path", "Nothing lives at this path."),
    MethodNotAllowed: Kind(
        "method-not-allowed",
        405,
        "Method not allowed",
        "The path exists, the method does not; the Allow header lists those that do.",
    ),
}

BY_SLUG = {kind.slug: kind for kind in (*KINDS.values(), INTERNAL)} | {
    slug: Kind(slug, status, title, "The connection was closed after this answer.")
    for slug, (status, title) in EDGE_PROBLEMS.items()
}


class Fault(msgspec.Struct):
    """One thing that is wrong, and where: an RFC 6901 pointer into the body."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The body of every error."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] = []
    request_id: str = ""


def kind_of(error: type[BaseException]) -> Kind:
    for class_, kind in KINDS.items():
        if issubclass(error, class_):
            return kind
    return INTERNAL


def problem(error: BaseException, request_id: str) -> Problem:
    """`error` as the client may know it; what we did not foresee stays in the log."""
    kind = kind_of(type(error))
    detail = str(error) if kind is not INTERNAL else "The server failed; its log says why."
    errors = [Fault(error.pointer, error.detail)] if isinstance(error, InvalidInput) else []
    return Problem(
        type=f"/problems/{kind.slug}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        errors=errors,
        request_id=request_id,
    )


def headers(error: BaseException) -> dict[str, str]:
    """Headers that belong to the error."""
    extra = {"Content-Type": MEDIA_TYPE}
    if isinstance(error, Unavailable | TooManyRequests):
        extra["Retry-After"] = str(max(1, ceil(error.retry_after)))
    elif isinstance(error, Unauthenticated):
        extra["WWW-Authenticate"] = 'Bearer realm="trio_jobs"'
    elif isinstance(error, Denied) and error.scope:
        extra["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{error.scope}"'
    return extra


def framework_problem(status: int, detail: str, request_id: str) -> Problem:
    """For what the framework refuses before any of our code has run."""
    phrase = HTTPStatus(status).phrase
    slugs = {kind.status: kind.slug for kind in reversed(BY_SLUG.values())}
    slugs |= {404: "no-such-path", 405: "method-not-allowed", 413: "too-large"}
    return Problem(
        type=f"/problems/{slugs.get(status, 'malformed')}",
        title=phrase,
        status=status,
        detail=detail,
        request_id=request_id,
    )
