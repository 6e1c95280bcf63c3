"""`trio-jobs types` and `workers`: who does what."""

from typing import Any

import click

from .exits import Exit, fail
from .output import is_terminal, nameless_output_option, output_option, print_rows
from .place import Place, place_options


@click.command()
@output_option
@place_options
def types(output: str | None, place: Place) -> None:
    """List the job types that have a handler."""
    _print(place.types(), output)


@click.command()
@click.argument("directive", required=False, type=click.Choice(["quiet", "stop", "run"]))
@click.argument("names", metavar="[NAME]...", nargs=-1)
@nameless_output_option
@place_options
def workers(
    directive: str | None, names: tuple[str, ...], output: str | None, place: Place
) -> None:
    """List the workers: that of the service, and those elsewhere. Or tell those elsewhere, by NAME:

    quiet: claim no more, end what you have, and stay. stop: end what you have, and leave. run: go
    on, whatever you were told before.
    """
    if directive is None:
        _print(place.workers(), output)
    elif not names:
        fail(f"{directive} which workers? trio-jobs workers {directive} NAME...", Exit.USAGE)
    else:
        _print(place.direct(directive, list(names)), output)


def _print(rows: list[dict[str, Any]], output: str | None) -> None:
    """A table shows what fits into one, whatever the service tells."""
    output = output or ("table" if is_terminal() else "jsonl")
    if output == "table":
        if not rows:
            click.echo("none", err=True)
            return
        rows = sorted(rows, key=lambda row: "seen_at" not in row)  # they have names, which go first
        rows = [_elsewhere(row) if "seen_at" in row else row for row in rows]
    names = dict.fromkeys(name for row in rows for name in row)
    print_rows(rows, output, [name for name in names if _fits(rows, name)], "type")


def _elsewhere(row: dict[str, Any]) -> dict[str, Any]:
    """A worker elsewhere, beside the one of the service."""
    return {
        "name": row["name"],
        "running": len(row["jobs"]),
        "takes": " ".join(row["types"]),
        "directive": row["directive"],
        "seen_at": row["seen_at"],
    }


def _fits(rows: list[dict[str, Any]], name: str) -> bool:
    return not any(isinstance(row.get(name), dict | list) for row in rows)
