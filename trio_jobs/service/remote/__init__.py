"""What workers elsewhere may ask: jobs, more time, an end to what they have."""

from .asks import (
    LEASE,
    LONGEST_WAIT,
    MAX_LEASE,
    MIN_LEASE,
    MOST_JOBS,
    MOST_TYPES,
    Beat,
    Beaten,
    End,
    Ended,
    Ending,
    Told,
    Wish,
    Words,
)
from .work import Working

__all__ = [
    "LEASE",
    "LONGEST_WAIT",
    "MAX_LEASE",
    "MIN_LEASE",
    "MOST_JOBS",
    "MOST_TYPES",
    "Beat",
    "Beaten",
    "End",
    "Ended",
    "Ending",
    "Told",
    "Wish",
    "Words",
    "Working",
]
