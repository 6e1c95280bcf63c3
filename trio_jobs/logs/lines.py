"""How a line looks: JSON for programs, or pretty for a person at a terminal."""

import json
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..clock import to_rfc3339
from ..texts import encodable

_COLOURS = {"WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


class Event(NamedTuple):
    """Something that was logged. `fields` are beside the message: ids, and what a caller gave."""

    at: float
    level: str
    logger: str
    message: str
    traceback: str
    fields: Mapping[str, object]


Look = Callable[[Event], str]


def as_json(event: Event) -> str:
    """One line of ASCII whatever it says: every control character is escaped."""
    line: dict[str, object] = {
        "time": to_rfc3339(event.at),
        "level": event.level.lower(),
        "logger": event.logger,
        "message": event.message,
    }
    for name, value in event.fields.items():
        line.setdefault(name, encodable(value) if isinstance(value, str) else value)
    if event.traceback:
        line["traceback"] = event.traceback
    return json.dumps(line, default=str)


def as_text(event: Event, *, colours: bool = False) -> str:
    """A line, and a traceback below it, indented; nothing in it can steer a terminal."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))
    head = f"{at} {event.level:<8}"
    if colours and (colour := _COLOURS.get(event.level)):
        head = f"\x1b[{colour}m{head}\x1b[0m"
    shown = " ".join(f"{name}={value}" for name, value in event.fields.items())
    parts = [head, _printable(event.message), f"({_printable(event.logger)})", _printable(shown)]
    lines = [" ".join(part for part in parts if part)]
    lines += [f"    {_printable(line)}" for line in event.traceback.split("\n") if line]
    return "\n".join(lines)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
