"""What the service says of itself: its queues, types and workers."""

from datetime import datetime
from typing import Any

import msgspec


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """`jobs` by state; `latency` is how long the oldest due job has waited (s).

    `limit`: so many of its jobs run at a time (None: any number); `rate`: how many end a second.
    """

    name: str
    paused: bool
    jobs: dict[str, int]
    paused_at: datetime | None = None
    oldest_due_at: datetime | None = None
    latency: float = 0.0
    limit: int | None = None
    rate: float = 0.0


class JobType(msgspec.Struct, frozen=True, kw_only=True):
    """A type of jobs; `input` and `output` are JSON Schema, `timeout` is in seconds."""

    type: str
    summary: str = ""
    input: dict[str, Any] = {}
    output: dict[str, Any] = {}
    timeout: float | None = None
    max_attempts: int | None = None
    isolation: str = "async"
    accepts_upload: bool = False


class Share(msgspec.Struct, frozen=True):
    """How many jobs of a queue a worker may run at a time, and runs; `*` is all other queues."""

    queue: str
    slots: int
    running: int


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker takes: `slots` jobs at a time, shared out by `queues`."""

    types: tuple[str, ...]
    slots: int
    running: int
    queues: tuple[Share, ...] = ()
