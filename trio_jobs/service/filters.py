"""What may be asked of a list."""

import re
from math import isfinite

from ..errors import InvalidInput
from ..storage.wishes import Filter

MOST_VALUES = 100
MOST_CHARACTERS = 1_000
_STEP = re.compile(r'[^"\\\x00-\x1f\ud800-\udfff]{1,100}\Z')


def check_filter(filter: Filter | None) -> Filter:
    """`filter` (None: all jobs), when it can be asked; else InvalidInput says what cannot."""
    filter = filter or Filter()
    for name in ("states", "types", "queues", "tags", "keys", "input"):
        values = getattr(filter, name) or ()
        if len(values) > MOST_VALUES:
            raise InvalidInput(f"{name}: at most {MOST_VALUES} values", f"/{name}")
        if any(len(value) > MOST_CHARACTERS for value in values):
            raise InvalidInput(f"{name}: a value is too long", f"/{name}")
    if len(filter.error or "") > MOST_CHARACTERS:
        raise InvalidInput("error: the text is too long", "/error")
    for name in ("created_after", "created_before"):
        if not isfinite(getattr(filter, name) or 0.0):
            raise InvalidInput(f"{name} is not a time", f"/{name}")
    for path in filter.input or {}:
        if not is_path(path):
            raise InvalidInput(f"input: {path!r} is not a path such as user.id", "/input")
    return filter


def is_path(path: str) -> bool:
    """Does this lead to a member of an input, as `user.id` does?"""
    return all(_STEP.match(step) for step in path.split("."))
