"""`trio-jobs queues`."""

import sys
from typing import Any

import click

from .exits import Exit, fail
from .output import is_terminal, output_option, print_rows
from .place import Place, place_options
from .progress import ProgressBar
from .steer import conclude, confirm

COLUMNS = ("name", "paused", "queued", "scheduled", "running", "failed", "oldest")


@click.command()
@click.argument("action", required=False, type=click.Choice(["pause", "resume", "purge"]))
@click.argument("name", required=False)
@click.option("--yes", is_flag=True, help="Do not ask before a purge.")
@output_option
@place_options
def queues(
    action: str | None, name: str | None, yes: bool, output: str | None, place: Place
) -> None:
    """List the queues; or pause, resume or purge the queue NAME.

    A paused queue takes jobs and starts none. A purge cancels all that waits in it.
    """
    output = output or ("table" if is_terminal() else "jsonl")
    if action is None:
        _print(place.queues(), output)
        return
    if name is None:
        fail(f"{action} which queue? trio-jobs queues {action} NAME", Exit.USAGE)
    if action == "purge":
        _purge(name, yes=yes, place=place)
    else:
        _print([place.pause(name) if action == "pause" else place.resume(name)], output)


def _purge(name: str, *, yes: bool, place: Place) -> None:
    if not yes:
        if not sys.stdin.isatty():
            fail("a purge cancels all that waits in the queue: add --yes", Exit.USAGE)
        confirm(f"Cancel all that waits in {name}?")
    bar = ProgressBar("cancelled")
    result = place.purge(name, told=bar)
    bar.close()
    conclude(result, "cancelled")


def _print(found: list[dict[str, Any]], output: str) -> None:
    if output == "table":
        found = [
            {
                **queue,
                **queue["jobs"],
                "paused": "paused" if queue["paused"] else "",
                "oldest": f"{queue['latency']:.0f} s" if queue["oldest_due_at"] else "",
            }
            for queue in found
        ]
    print_rows(found, output, COLUMNS, "name")
