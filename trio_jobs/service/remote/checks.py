"""What a worker elsewhere may ask for."""

import re

from ...errors import InvalidInput
from ...executor.diary import MAX_SAVED
from ..grant import OTHERS
from ..order import MAX_SECONDS, check_name, in_range
from .asks import LONGEST_WAIT, MAX_LEASE, MIN_LEASE, MOST_JOBS, MOST_TYPES, Ending, Wish, Words

WORKER = re.compile(r"(?!process-)[A-Za-z0-9_.:/@-]{1,100}\Z")
"""Names that begin so are those of our own processes, whose jobs are rescued when they die."""


def check_worker(name: str) -> None:
    if not WORKER.match(name):
        raise InvalidInput(
            "a worker is 1 to 100 of A-Z a-z 0-9 _ . : / @ - and does not begin with process-",
            "/worker",
        )


def checked(wish: Wish, pointer: str = "") -> Wish:
    """`wish` with its names once each, and no longer a wait than there is."""
    names = {"types": wish.types, "queues": wish.queues}
    for what, some in names.items():
        if some is not None and not 1 <= len(some) <= MOST_TYPES:
            raise InvalidInput(f"{what} has 1 to {MOST_TYPES} names", f"{pointer}/{what}")
    for at, name in enumerate(wish.types):
        check_name("a name", name, f"{pointer}/types/{at}")
    for name, most in (wish.queues or {}).items():
        if name != OTHERS:
            check_name("a name", name, f"{pointer}/queues")
        _in_range("queues", most, 0, MOST_JOBS, pointer)
    ranges = (("max", wish.most, 1, MOST_JOBS), ("wait", wish.wait, 0, MAX_SECONDS))
    for what, value, low, high in ranges:
        _in_range(what, value, low, high, pointer)
    check_lease(wish.lease, pointer)
    types = list(dict.fromkeys(wish.types))
    return wish._replace(types=types, wait=min(wish.wait, LONGEST_WAIT))


def check_lease(seconds: float, pointer: str) -> None:
    _in_range("lease", seconds, MIN_LEASE, MAX_LEASE, pointer)


def check_timeout(seconds: float | None, pointer: str) -> None:
    if seconds is not None:
        _in_range("timeout", seconds, 0.001, MAX_SECONDS, pointer)


def check_words(words: Words, pointer: str) -> None:
    if words.saved is not None and len(words.saved) > MAX_SAVED:
        size = f"{len(words.saved):,} characters to save; the limit is {MAX_SAVED:,}"
        raise InvalidInput(size, f"{pointer}/save")


def check_after(ending: Ending, after: float | None, pointer: str) -> None:
    """`after` goes with what comes back at a time."""
    if ending is Ending.SNOOZE and after is None:
        raise InvalidInput("a snooze needs to know for how long", f"{pointer}/after")
    if ending not in (Ending.SNOOZE, Ending.FAIL) and after is not None:
        raise InvalidInput(f"{ending} takes no after", f"{pointer}/after")
    if after is not None:
        _in_range("after", after, 0, MAX_SECONDS, pointer)


def _in_range(what: str, value: float, low: float, high: float, pointer: str) -> None:
    try:
        in_range(what, value, low, high)
    except InvalidInput as error:
        error.pointer = f"{pointer}{error.pointer}"
        raise
