"""What a person asks of jobs, which ones are meant, and what came of it: records, in and out."""

from typing import NamedTuple

import msgspec

from ..job import State


class Amendment(msgspec.Struct, array_like=True, frozen=True):
    """Changes to a job that waits; None leaves a thing as it is.

    `version`: only while the job has this one. `run_at` in the past makes it due now.
    """

    id: str
    version: int | None = None
    run_at: float | None = None
    priority: int | None = None
    queue: str | None = None
    tags: list[str] | None = None
    timeout: float | None = None


class Moved(NamedTuple):
    """What a person's wish did to a job: its state before, and after (None: it is gone).

    `done` is False when nothing changed, because its state (or version, or a unique key) forbids.
    """

    was: State
    state: State | None
    done: bool


class Filter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which jobs; what is None does not matter, and all that is given must hold.

    `tags`: has any of them. `keys` are unique keys. Times are Unix seconds, exclusive. `error` is
    part of the last error's message. `input` maps paths in the input (`user.id`) to values as text.
    """

    states: list[State] | None = None
    types: list[str] | None = None
    queues: list[str] | None = None
    tags: list[str] | None = None
    keys: list[str] | None = None
    created_after: float | None = None
    created_before: float | None = None
    error: str | None = None
    input: dict[str, str] | None = None


class Scan(NamedTuple):
    """Ids of jobs that match, oldest first, and where to go on (None: that was all).

    `next` grows from 0 to `end`: how far the scan has come.
    """

    ids: list[str]
    next: int | None
    end: int
