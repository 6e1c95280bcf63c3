"""Durations as people write them: `90`, `1.5s`, `5m`, `2h`, `1d`."""

from math import inf, nan
from typing import Any

import click

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        number, unit = (value[:-1], value[-1]) if value[-1:] in _UNITS else (value, "s")
        try:
            seconds = float(number) * _UNITS[unit]
        except ValueError:
            seconds = nan
        if not 0 <= seconds < inf:
            self.fail(f"{value!r} is not a duration like 90, 5m, 2h or 1d", param, ctx)
        return seconds


DURATION = _Duration()
