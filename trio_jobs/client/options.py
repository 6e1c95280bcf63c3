"""What a job may ask for, and how that is written."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any, Literal, TypedDict

import msgspec


class Options(TypedDict, total=False):
    """Beside type and input. Durations are seconds; a datetime needs a time zone.

    `run_at` and `deadline` may be RFC 3339 text, `deadline` also seconds from now. `backoff` is a
    word, a list of seconds or an object, as the README says. `callback_url` is told when the job
    has ended. `wait`: answer then, or after so many seconds. `idempotency_key`: your own in place
    of a random one, for a call that may be repeated by another process. What is None is as if it
    were not there.
    """

    queue: str | None
    priority: int | None
    delay: float | None
    run_at: datetime | str | None
    timeout: float | None
    deadline: datetime | str | float | None
    max_attempts: int | None
    backoff: str | Sequence[float] | Mapping[str, Any] | None
    unique_key: str | None
    unique_for: float | None
    on_conflict: Literal["return", "replace", "reject"] | None
    tags: Sequence[str] | None
    callback_url: str | None
    wait: float | None
    idempotency_key: str | None


class Changes(TypedDict, total=False):
    """What may change while a job waits; what is left out stays."""

    priority: int
    run_at: datetime | str
    queue: str
    tags: Sequence[str]
    timeout: float


ALONE = frozenset({"wait", "unique_key", "unique_for", "on_conflict", "idempotency_key"})
"""A job that asks for one of these shares its request with no other."""


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def as_json(value: Any) -> bytes:
    """JSON. Raises ValueError for NaN and infinity, TypeError for what is no JSON at all."""
    data = msgspec.json.encode(value)
    if b"null" in data:  # msgspec writes NaN and infinity as null, and nobody would notice
        _check_finite(msgspec.to_builtins(value))
    return data


def as_query(options: Mapping[str, Any]) -> dict[str, str]:
    """Options of an upload, which has its payload in the body."""
    return {name: _text(name, value) for name, value in options.items()}


def moment(value: datetime | str) -> str:
    """RFC 3339."""
    if isinstance(value, str):
        return value
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    return value.isoformat()


def _text(name: str, value: Any) -> str:
    if isinstance(value, str | datetime):
        return moment(value)
    if name == "tags":
        return ",".join(value)
    return as_json(value).decode()


def _check_finite(value: Any) -> None:
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"JSON has no {value}")
    elif isinstance(value, dict):
        for inner in value.values():
            _check_finite(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_finite(inner)
