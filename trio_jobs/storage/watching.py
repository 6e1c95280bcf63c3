"""What can be seen of jobs beside themselves: attempts, changes, queues. Records, out only."""

from typing import NamedTuple

import msgspec

from ..job import State
from .records import Error, Progress


class AttemptRecord(msgspec.Struct, array_like=True, frozen=True):
    """One attempt of a job. `outcome` is `running`, `done`, or why it ended otherwise."""

    attempt: int
    started_at: float | None
    finished_at: float | None
    worker: str | None
    outcome: str
    error: Error | None = None


class Change(msgspec.Struct, array_like=True, frozen=True):
    """Something happened to a job: `event` is the state it went to, or `cancelling`, `progress`,
    `log`, `changed`. What follows is how the job stands when the change is read.

    `seq` numbers all changes; `first_line` is the `n` of the first new log line.
    """

    seq: int
    at: float
    event: str
    id: str
    type: str
    queue: str
    reason: str | None
    state: State
    attempt: int
    version: int
    progress: Progress | None = None
    first_line: int | None = None


class Changes(NamedTuple):
    """Changes in their order, the number of the last that was looked at, and whether there are
    more. `complete`: nothing between `after` and the first of them has been forgotten.
    """

    changes: list[Change]
    last: int
    more: bool
    complete: bool


class QueueInfo(msgspec.Struct, array_like=True, frozen=True):
    """A queue: its jobs by state, since when it is paused, when its oldest due job became due.

    `limit` is how many of its jobs may run at a time, in all processes together; None: any number.
    """

    name: str
    counts: dict[State, int]
    paused_at: float | None
    oldest_due: float | None
    limit: int | None = None
