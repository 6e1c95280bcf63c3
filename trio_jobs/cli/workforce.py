"""`trio-jobs types` and `workers`: who does what."""

from typing import Any

import click

from .output import is_terminal, output_option, print_rows
from .place import Place, place_options


@click.command()
@output_option
@place_options
def types(output: str | None, place: Place) -> None:
    """List the job types that have a handler."""
    _print(place.types(), output, "type")


@click.command()
@output_option
@place_options
def workers(output: str | None, place: Place) -> None:
    """List the workers that the service has seen."""
    _print(place.workers(), output, "worker")


def _print(rows: list[dict[str, Any]], output: str | None, identity: str) -> None:
    """A table shows what fits into one, whatever the service tells."""
    shown = [name for name in (rows[0] if rows else [identity]) if _fits(rows, name)]
    print_rows(rows, output or ("table" if is_terminal() else "jsonl"), shown, identity)


def _fits(rows: list[dict[str, Any]], name: str) -> bool:
    return not any(isinstance(row.get(name), dict | list) for row in rows)
