"""What time it is. Seconds since the Unix epoch as a float, UTC, everywhere inside."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

Now = Callable[[], float]

now: Now = time.time


@lru_cache(1024)  # a new job has one time three times
def to_rfc3339(seconds: float) -> str:
    """`1764000000.25` -> `2025-11-24T16:00:00.250000Z` (microseconds, always `Z`)."""
    micros = round(seconds * 1_000_000)
    return f"{_second(micros // 1_000_000)}.{micros % 1_000_000:06d}Z"


@lru_cache(1024)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def from_rfc3339(text: str) -> float:
    """The inverse; any offset is accepted, none is refused with ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset, for example 2026-01-31T12:00:00Z")
    return moment.timestamp()
