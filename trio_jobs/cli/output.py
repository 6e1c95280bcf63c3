"""How answers are written: data to stdout, words to stderr."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _option(*forms: str) -> Callable[[F], F]:
    return click.option(
        "-o",
        "--output",
        type=click.Choice(forms),
        default=None,
        help="How the answer is written. [default: table on a terminal, else jsonl]",
    )


output_option = _option("table", "json", "jsonl", "id")
nameless_output_option = _option("table", "json", "jsonl")
"""For what has no id."""


def is_terminal() -> bool:
    return sys.stdout.isatty()


def has_colour() -> bool:
    """On a terminal, unless somebody wishes otherwise (https://no-color.org)."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def print_rows(
    rows: Sequence[Any], output: str, columns: Sequence[str], identity: str = "id"
) -> None:
    """`rows` as a table of `columns`, as JSON, or only what identifies them."""
    if output == "id":
        lines = [row[identity] for row in rows]
    elif output == "jsonl":
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    elif output == "json":
        shown = rows[0] if len(rows) == 1 else list(rows)
        lines = [json.dumps(shown, ensure_ascii=False, indent=2)]
    else:
        lines = table(columns, [[_cell(row.get(name)) for name in columns] for row in rows])
    for line in lines:
        click.echo(line)


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the names of the columns above them."""
    lines = [[printable(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def printable(text: str) -> str:
    """What would move a terminal's cursor, or colour what follows, becomes a question mark."""
    return "".join(char if char.isprintable() else "?" for char in text)
