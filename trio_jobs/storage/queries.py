"""Named queries: SQL lives in `.sql` files, under `-- name: verb_what` lines.

`{name}` in a query stands for an earlier one: a condition that several share.
"""

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PART = re.compile(r"\{(\w+)\}")


def script(filename: str) -> str:
    """The whole text of a file beside this module."""
    return (files(__package__) / filename).read_text(encoding="utf-8")


@cache
def load(filename: str) -> dict[str, str]:
    """Name -> SQL of a file beside this module; a name used twice is an error."""
    parts = _NAME.split(script(filename))[1:]
    queries: dict[str, str] = {}
    for name, sql in zip(parts[::2], parts[1::2], strict=True):
        if name in queries:
            raise ValueError(f"{filename}: two queries are named {name}")
        queries[name] = _PART.sub(lambda part: queries[part[1]], sql.strip())
    return queries
