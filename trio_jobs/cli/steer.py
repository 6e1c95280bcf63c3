"""`trio-jobs cancel`, `retry` and `rm`: one job, some, or all that match."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from .exits import Exit, fail
from .filters import FILTER_HELP, filter_words
from .output import is_terminal, print_rows
from .place import Place, place_options
from .progress import ProgressBar
from .short_ids import SHORT_HELP, full_ids

PAST = {"cancel": "cancelled", "retry": "queued again", "delete": "removed"}


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        place_options,
        click.option("--yes", is_flag=True, help="Do not ask before many jobs are changed."),
        click.option("--dry-run", is_flag=True, help="Only count those that are meant."),
        click.option("--filter", "words", metavar="WORDS", help=FILTER_HELP),
        click.argument("ids", metavar="[ID]...", nargs=-1),
    ):
        command = option(command)
    return command


@click.command(epilog=SHORT_HELP)
@_options
def cancel(**asked: Any) -> None:
    """Cancel the jobs ID…, or all unfinished ones that match a filter.

    A job that waits ends at once; one that runs is asked to stop, wherever it runs.
    """
    _steer("cancel", **asked)


@click.command(epilog=SHORT_HELP)
@_options
def retry(**asked: Any) -> None:
    """Queue the finished jobs ID…, or all that match a filter, again with fresh attempts."""
    _steer("retry", **asked)


@click.command(epilog=SHORT_HELP)
@_options
def rm(**asked: Any) -> None:
    """Remove the records of the finished jobs ID…, or of all that match a filter."""
    _steer("delete", **asked)


def _steer(
    action: str, *, ids: tuple[str, ...], words: str | None, dry_run: bool, yes: bool, place: Place
) -> None:
    if bool(ids) == (words is not None):
        fail("say which jobs: either ID… or --filter WORDS", Exit.USAGE)
    if words is not None:
        _matching(action, filter_words(words), dry_run=dry_run, yes=yes, place=place)
        return
    ids = tuple(full_ids(place, ids))
    if len(ids) == 1 and not dry_run:
        job = place.one(action, ids[0])
        if job is not None:
            print_rows([job], "json" if is_terminal() else "jsonl", ())
    else:
        result = carry_out(action, place, ids=ids, dry_run=dry_run)
        if result["skipped"]:
            raise SystemExit(int(Exit.REFUSED))


def _matching(
    action: str, filter_: Mapping[str, str], *, dry_run: bool, yes: bool, place: Place
) -> None:
    if not dry_run and not yes:
        if not sys.stdin.isatty():
            fail("--filter may mean many jobs: add --yes, or --dry-run to see", Exit.USAGE)
        found = place.many(action, None, filter_, dry_run=True, told=ignore)
        confirm(f"{jobs(found['matched'])} would be {PAST[action]}. Go on?")
    carry_out(action, place, filter=filter_, dry_run=dry_run)


def carry_out(
    action: str,
    place: Place,
    *,
    ids: tuple[str, ...] | None = None,
    filter: Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """The final progress, after it has been told."""
    bar = ProgressBar("counted" if dry_run else PAST[action])
    result = place.many(action, ids, filter, dry_run=dry_run, told=bar)
    bar.close()
    conclude(result, PAST[action], dry_run=dry_run)
    return result


def conclude(result: dict[str, Any], past: str, *, dry_run: bool = False) -> None:
    """Says on stderr what has come of it and, to who reads it, on stdout in JSON."""
    if dry_run:
        click.echo(f"{jobs(result['matched'])} would be {past}", err=True)
    else:
        skipped = f"; {result['skipped']:,} could not be" if result["skipped"] else ""
        click.echo(f"{jobs(result['done'])} {past}{skipped}", err=True)
    if not is_terminal():
        click.echo(json.dumps(result))
    if not result["finished"]:
        fail("the service stopped before all were done; ask again for the rest")


def jobs(n: int) -> str:
    return "1 job" if n == 1 else f"{n:,} jobs"


def confirm(question: str) -> None:
    """Ends the process unless the answer is yes."""
    if not click.confirm(question, err=True):
        raise SystemExit(int(Exit.ERROR))


def ignore(_progress: dict[str, Any]) -> None:
    """Tells nobody."""
