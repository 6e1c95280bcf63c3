"""The query string, and the small things that headers say."""

import re
from urllib.parse import parse_qsl

from ..errors import Outdated
from ..ids import is_job_id
from .problems import Malformed

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z"
)


def parse_query(query_string: bytes, allowed: frozenset[str] | None = None) -> dict[str, str]:
    """Query parameters, each at most once; with `allowed`, no others (400 says so)."""
    if not query_string:
        return {}
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=100,
        )
    except ValueError as error:
        raise Malformed(f"The query string cannot be read: {error}.") from None
    query = dict(pairs)
    if len(query) < len(pairs):
        raise Malformed("A query parameter is given twice.")
    if allowed is not None and (unknown := sorted(query.keys() - allowed)):
        known = ", ".join(sorted(allowed)) or "none"
        raise Malformed(f"Unknown query parameter {unknown[0]!r}; known here: {known}.")
    return query


def whole_number(name: str, text: str) -> int:
    # isdecimal alone would let through digits of other scripts, and more of them than an int64.
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise Malformed(f"{name} must be a whole number.")
    return int(text)


def job_id(text: str) -> str:
    """The canonical spelling of a job's id."""
    text = text.lower()
    if not is_job_id(text):
        raise Malformed("A job id is a UUID, e.g. 0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d.")
    return text


def trace_context(header: str) -> str | None:
    """A traceparent (W3C Trace Context); what is none is ignored, as that asks for."""
    return header if _TRACEPARENT.match(header) else None


# ── ETag: the version of a job in quotes ──────────────────────────────────────────────────────


def etag(version: int) -> str:
    return f'"{version}"'


def tags(if_none_match: str) -> set[str]:
    """The entity tags of If-None-Match; `*` may be one of them."""
    return {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}


def known_version(known: set[str]) -> int | None:
    """The version that a client knows; None when it is not exactly one."""
    digits = next(iter(known)).strip('"') if len(known) == 1 else ""
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= 18 else None


def demanded_version(if_match: str) -> int | None:
    """The version that If-Match demands; None for `*`. No job has what an empty one demands."""
    if not if_match:
        raise Outdated("If-Match is there, but names no version.")
    tag = if_match.strip().removeprefix("W/")
    if tag == "*":
        return None
    if not (tag.startswith('"') and tag.endswith('"') and len(tag) > 2):
        raise Malformed('If-Match takes one ETag of the job, e.g. "3".')
    return whole_number("The ETag", tag[1:-1])
