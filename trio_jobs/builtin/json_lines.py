"""`json_lines_summary`: what is in a file of one JSON value per line."""

import io
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from .files import CHUNK, FileInput, Source
from .outputs import Outputs

MAX_LINE = 1_000_000
"""Bytes; a longer line counts as invalid, and is passed over in flat memory."""
MAX_KEYS = 1_000
SHOWN_KEY = 100
SHOWN_INVALID = 10

_NAMES: dict[type, str] = {
    dict: "object",
    list: "array",
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


class JsonLinesSummary(FileInput, frozen=True, tag="json_lines_summary"):
    """Rows, keys and types of the file."""


class Key(msgspec.Struct, frozen=True):
    """A key of the objects, how many have it, and with values of which types."""

    name: str
    count: int
    types: dict[str, int]


class InvalidLine(msgspec.Struct, frozen=True):
    """A line, counted from 1, that is not one JSON value."""

    line: int
    detail: str


class JsonLinesResult(msgspec.Struct, frozen=True, tag_field="operation", tag="json_lines_summary"):
    """`rows` are valid, `invalid` are not (the first ten are shown); blank lines are neither.

    `types` are of the rows themselves. `keys` come in the order in which they first appear; past a
    thousand of them `more_keys` is true.
    """

    rows: int
    types: dict[str, int]
    keys: list[Key]
    more_keys: bool
    invalid: int
    invalid_lines: list[InvalidLine]


def json_lines_summary(
    _options: JsonLinesSummary, source: Source, _outputs: Outputs
) -> JsonLinesResult:
    """One pass; memory depends on the number of different keys alone."""
    types: Counter[str] = Counter()
    keys: dict[str, Counter[str]] = {}
    more_keys, invalid = False, 0
    invalid_lines: list[InvalidLine] = []
    decoder = msgspec.json.Decoder()
    with io.BufferedReader(source, CHUNK) as buffered:
        for number, line in enumerate(_lines(buffered.readline), 1):
            if line is not None and not line.strip():
                continue
            try:
                row = _decode(decoder, line)
            except ValueError as error:
                invalid += 1
                if len(invalid_lines) < SHOWN_INVALID:
                    invalid_lines.append(InvalidLine(number, str(error)))
                continue
            types[_NAMES[type(row)]] += 1
            for name, value in row.items() if isinstance(row, dict) else ():
                counter = keys.get(name)
                if counter is None:
                    if len(keys) == MAX_KEYS:
                        more_keys = True
                        continue
                    counter = keys[name] = Counter()
                counter[_NAMES[type(value)]] += 1
    return JsonLinesResult(
        rows=types.total(),
        types=dict(types),
        keys=[Key(name[:SHOWN_KEY], seen.total(), dict(seen)) for name, seen in keys.items()],
        more_keys=more_keys,
        invalid=invalid,
        invalid_lines=invalid_lines,
    )


def _lines(readline: Callable[[int], bytes]) -> Iterator[bytes | None]:
    """Each line, or None in place of one that is too long."""
    while line := readline(MAX_LINE + 1):
        if len(line) <= MAX_LINE:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = readline(MAX_LINE)
        yield None


def _decode(decoder: msgspec.json.Decoder[Any], line: bytes | None) -> Any:
    if line is None:
        raise ValueError(f"longer than {MAX_LINE} bytes")
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
