"""`trio-jobs types` and `workers`: who does what."""

from typing import Any

import click

from .output import is_terminal, nameless_output_option, output_option, print_rows
from .place import Place, place_options


@click.command()
@output_option
@place_options
def types(output: str | None, place: Place) -> None:
    """List the job types that have a handler."""
    _print(place.types(), output)


@click.command()
@nameless_output_option
@place_options
def workers(output: str | None, place: Place) -> None:
    """List the workers of the service."""
    _print(place.workers(), output)


def _print(rows: list[dict[str, Any]], output: str | None) -> None:
    """A table shows what fits into one, whatever the service tells."""
    output = output or ("table" if is_terminal() else "jsonl")
    if output == "table" and not rows:
        click.echo("none", err=True)
        return
    shown = [name for name in rows[0] if _fits(rows, name)] if rows else []
    print_rows(rows, output, shown, "type")


def _fits(rows: list[dict[str, Any]], name: str) -> bool:
    return not any(isinstance(row.get(name), dict | list) for row in rows)
