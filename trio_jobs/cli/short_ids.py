"""Ids as people copy them: the last digits are enough.

An id is a UUIDv7. It begins with the time, so its neighbours begin alike; it ends at random. Tables
show the last eight digits.
"""

import re
from collections.abc import Sequence

from .exits import Exit, fail
from .place import Place

SEARCHED = 5_000
"""Jobs, the newest ones, among which a short id is looked up."""

SHOWN = 8
MOST_CANDIDATES = 10
SHORT_HELP = (
    "An ID may be shortened to 4 or more of the hex digits that it ends or begins with, if only "
    f"one of the newest {SEARCHED:,} jobs has them."
)
_GROUPS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
_DIGITS = re.compile(r"[0-9a-f]{4,32}\Z")


def short(id_: str) -> str:
    return id_[-SHOWN:]


def full_ids(place: Place, texts: Sequence[str]) -> list[str]:
    """Each text as a whole id; exits 2 when more than one job is meant, 4 when none is.

    What is no part of an id is handed on as it is: the queue itself says what an id looks like.
    """
    newest: list[str] | None = None
    found = []
    for text in texts:
        digits = text.lower().replace("-", "")
        if len(text) == 36 or not _DIGITS.match(digits):
            found.append(text)
        elif len(digits) == 32:
            found.append("-".join(digits[a:b] for a, b in _GROUPS))
        else:
            newest = place.newest(SEARCHED) if newest is None else newest
            found.append(_only(text, digits, newest))
    return found


def full_id(place: Place, text: str) -> str:
    [found] = full_ids(place, [text])
    return found


def _only(text: str, digits: str, ids: Sequence[str]) -> str:
    meant = [id_ for id_ in ids if _is_part(digits, id_.replace("-", ""))]
    if not meant:
        fail(
            f"There is no job {text}: none of the newest {SEARCHED:,} ends or begins so.",
            Exit.NOT_FOUND,
        )
    if len(meant) > 1:
        some = "".join(f"\n  {id_}" for id_ in meant[:MOST_CANDIDATES])
        more = f"\n  and {len(meant) - MOST_CANDIDATES:,} more"
        fail(
            f"{text} may be any of {len(meant):,} jobs:{some}"
            + (more if len(meant) > MOST_CANDIDATES else ""),
            Exit.USAGE,
        )
    return meant[0]


def _is_part(digits: str, whole: str) -> bool:
    return whole.endswith(digits) or whole.startswith(digits)
