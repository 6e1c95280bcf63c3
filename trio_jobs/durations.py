"""Durations as people write them: `90`, `1.5s`, `5m`, `2h`, `1d`."""

from math import inf

_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def parse_duration(text: str) -> float:
    """Seconds, finite and from 0 up; ValueError for anything else."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    seconds = float(number) * _UNITS[unit]
    if not 0 <= seconds < inf:
        raise ValueError(f"{text!r} is not a duration")
    return seconds
