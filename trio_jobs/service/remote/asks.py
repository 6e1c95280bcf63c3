"""What a worker elsewhere asks and says, and what it is answered."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from ...job import Error, Reason, State
from ...storage.records import Claimed, Lease, Progress
from ...storage.remote import Directive

MIN_LEASE, MAX_LEASE = 10.0, 12 * 3_600.0
LEASE = 60.0
MOST_JOBS = 1_000
MOST_TYPES = 100
LONGEST_WAIT = 55.0


class Wish(NamedTuple):
    """Jobs that a worker asks for: at most `most`, each under a lease of so many seconds. With none
    there, it waits up to `wait` seconds. `queues` has how many of each, and `last_chance` whether
    one may be on it, as `Store.claim` takes them."""

    types: list[str]
    queues: Mapping[str, int] | None = None
    most: int = 1
    lease: float = LEASE
    wait: float = 0.0
    last_chance: bool = True


class Words(NamedTuple):
    """What an attempt has to say besides; `logs` are (level, message), `saved` is JSON."""

    progress: Progress | None = None
    logs: Sequence[tuple[str, str]] = ()
    saved: str | None = None

    def __bool__(self) -> bool:
        return bool(self.progress or self.logs or self.saved is not None)


NOTHING = Words()


class Beat(NamedTuple):
    """An attempt goes on; its lease is to last for so many seconds from now. `timeout` is how long
    it may take, where neither the job nor a handler here says so."""

    lease: Lease
    seconds: float
    words: Words = NOTHING
    timeout: float | None = None


class Ending(StrEnum):
    """How an attempt ended, in the words of the worker."""

    DONE = "done"
    FAIL = "fail"
    RELEASE = "release"
    SNOOZE = "snooze"
    CANCELLED = "cancelled"


class End(NamedTuple):
    """An attempt has ended. `after` is for fail (when to try again) and snooze, in seconds."""

    lease: Lease
    ending: Ending
    result: bytes | None = None
    content_type: str = "application/json"
    error: Error | None = None
    retry: bool = True
    after: float | None = None
    words: Words = NOTHING


class Beaten(NamedTuple):
    """`seconds` is how long the lease still holds, None: it is lost. `stop` says why to end now."""

    id: str
    seconds: float | None
    stop: Reason | None = None


class Ended(NamedTuple):
    """`state` is what the job is now, None: the lease was lost, and nothing has changed."""

    id: str
    state: State | None


class Told(NamedTuple):
    """Jobs, and what the worker is to do."""

    jobs: list[Claimed]
    directive: Directive
