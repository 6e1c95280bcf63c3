"""`trio-jobs tail`."""

import json
from typing import Any

import click

from .output import is_terminal, printable
from .place import LOST, Place, place_options
from .short_ids import short


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "jsonl"]),
    default=None,
    help="How events are written. [default: table on a terminal, else jsonl]",
)
@place_options
def tail(output: str | None, place: Place) -> None:
    """Show what happens to all jobs, as it happens, until Ctrl-C."""
    output = output or ("table" if is_terminal() else "jsonl")
    place.tail(_plain if output == "table" else _json)


def _plain(event: dict[str, Any]) -> None:
    if event["event"] == LOST:
        click.echo("… some changes before this are forgotten")
        return
    name = event["event"].removeprefix("job.")
    line = f"{event['at']}  {short(event['id'])}  {name:<10} {event['type']} in {event['queue']}"
    click.echo(printable(f"{line}  {_detail(event)}".rstrip()))


def _detail(event: dict[str, Any]) -> str:
    progress = event["progress"]
    if event["event"] == "job.progress" and progress is not None:
        total = f" of {progress['total']:g}" if progress["total"] is not None else ""
        return f"{progress['done']:g}{total} {progress['note'] or ''}".rstrip()
    return event["reason"] or ""


def _json(event: dict[str, Any]) -> None:
    click.echo(json.dumps(event, ensure_ascii=False))
