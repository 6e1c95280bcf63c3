"""`trio-jobs ls`, `show` and `result`."""

import sys

import click

from .filters import FILTER_HELP, filter_words
from .output import is_terminal, output_option, print_rows
from .place import Place, place_options
from .short_ids import SHORT_HELP, full_id, short

COLUMNS = ("id", "type", "queue", "state", "attempt", "created_at")


@click.command(epilog=SHORT_HELP)
@click.argument("id_", metavar="ID")
@output_option
@place_options
def show(id_: str, output: str | None, place: Place) -> None:
    """Show the job ID with its input and output."""
    job = place.get(full_id(place, id_))
    print_rows([job], output or ("json" if is_terminal() else "jsonl"), COLUMNS)


@click.command(epilog=SHORT_HELP)
@click.argument("id_", metavar="ID")
@place_options
def result(id_: str, place: Place) -> None:
    """Write the result of the job ID to standard output, byte by byte as it is stored."""
    sys.stdout.buffer.write(place.result(full_id(place, id_)))
    sys.stdout.buffer.flush()  # while whoever stops reading is still forgiven


@click.command()
@click.option("--status", type=click.Choice(["pending", "running", "done", "failed"]))
@click.option("--type", "type_", metavar="TYPE", help="Only jobs of this type.")
@click.option("--filter", "words", metavar="WORDS", help=FILTER_HELP)
@click.option("-n", "--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@output_option
@place_options
def ls(
    status: str | None,
    type_: str | None,
    words: str | None,
    limit: int,
    output: str | None,
    place: Place,
) -> None:
    """List jobs, newest first. A table shows the short form of their ids."""
    chosen = {} if words is None else filter_words(words)
    options = {"status": status, "type": type_}
    chosen |= {name: value for name, value in options.items() if value is not None}
    jobs = place.list_jobs(chosen, limit)
    output = output or ("table" if is_terminal() else "jsonl")
    if output == "table":
        jobs = [{**job, "id": short(job["id"])} for job in jobs]
    print_rows(jobs, output, COLUMNS)
