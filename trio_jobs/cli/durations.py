"""A duration as an option: `--delay 5m`."""

from typing import Any

import click

from ..durations import parse_duration


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_duration(value)
        except ValueError:
            self.fail(f"{value!r} is not a duration like 90, 5m, 2h or 1d", param, ctx)


DURATION = _Duration()
