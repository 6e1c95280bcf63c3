"""Records of the workers that ask over HTTP, and of how their leases stand."""

from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from ..job import State


class Directive(StrEnum):
    """What a worker is told with each answer."""

    RUN = "run"  # go on
    QUIET = "quiet"  # end what you have, claim no more, stay
    STOP = "stop"  # end what you have, and leave


class Seen(msgspec.Struct, array_like=True, frozen=True):
    """A worker that has asked for something. `types` None: for no jobs this time."""

    name: str
    at: float
    types: list[str] | None = None
    queues: list[str] | None = None


class RemoteWorker(msgspec.Struct, array_like=True, frozen=True):
    """A worker as it was seen last; `queues` None: any."""

    name: str
    types: list[str]
    queues: list[str] | None
    seen_at: float
    directive: Directive = Directive.RUN


class Roster(NamedTuple):
    """The workers, and when somebody asked last for jobs of each type."""

    workers: list[RemoteWorker]
    types: dict[str, float]


class Standing(msgspec.Struct, array_like=True, frozen=True):
    """How a lease stands, and the job that it is of.

    `expires_at` is None when it is not held any more; `settled_as` says what became of its attempt,
    if that was settled under it: done, or the outcome as the attempt has it. `lines` and `logged`
    are how many lines and characters its attempt has logged.
    """

    id: str
    token: int
    type: str
    queue: str
    state: State
    attempt: int
    max_attempts: int
    started_at: float | None
    timeout: float | None
    deadline: float | None
    backoff: Any
    cancel_requested_at: float | None
    expires_at: float | None
    is_limited: bool
    settled_as: str | None
    lines: int
    logged: int

    @property
    def held(self) -> bool:
        return self.expires_at is not None
