"""`trio-jobs logs` and `why`."""

import json
from typing import Any

import click

from .output import is_terminal, nameless_output_option, printable
from .place import Place, place_options
from .short_ids import SHORT_HELP, full_id


@click.command(epilog=SHORT_HELP)
@click.argument("id_", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@nameless_output_option
@place_options
def logs(id_: str, follow: bool, output: str | None, place: Place) -> None:
    """Show what the job ID has logged."""
    output = output or ("table" if is_terminal() else "jsonl")
    lines: list[dict[str, Any]] = []
    told = lines.append if output == "json" else _plain if output == "table" else _json
    place.logs(full_id(place, id_), follow=follow, told=told)
    if output == "json":
        click.echo(json.dumps(lines, ensure_ascii=False, indent=2))


def _plain(line: dict[str, Any]) -> None:
    head = f"{line['at']} {line['attempt']} {line['level']:<8} "
    click.echo(head + "\n".join(printable(text) for text in line["message"].split("\n")))


def _json(line: dict[str, Any]) -> None:
    click.echo(json.dumps(line, ensure_ascii=False))


@click.command(epilog=SHORT_HELP)
@click.argument("id_", metavar="ID")
@nameless_output_option
@place_options
def why(id_: str, output: str | None, place: Place) -> None:
    """Say what keeps the job ID from running."""
    found = place.why(full_id(place, id_))
    output = output or ("table" if is_terminal() else "jsonl")
    if output != "table":
        click.echo(json.dumps(found, ensure_ascii=False, indent=2 if output == "json" else None))
        return
    click.echo(f"{found['id']} is {found['state']}.")
    for reason in found["reasons"]:
        click.echo(f"  {reason['detail']} ({reason['code']})")
    if not found["reasons"]:
        click.echo(
            "  Nothing that can be seen from here keeps it: it runs as soon as a slot is free."
        )
