"""`trio-jobs enqueue`: one job, or a file of them."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from .durations import DURATION
from .exits import Exit, fail
from .lines import Lines
from .output import is_terminal, output_option, print_rows
from .place import Place, place_options

FINAL = ("done", "failed")
LONG_POLL = 20.0  # seconds
AGAIN = 0.5
COLUMNS = ("id", "type", "queue", "state", "attempt", "created_at")
MOST_ERRORS = 10


@click.command()
@click.argument("type_", metavar="[TYPE]", required=False)
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE | KEY:=JSON | @FILE | -]...")
@click.option("--queue", help="Its queue.")
@click.option("--priority", type=int, help="-100 to 100; higher goes first.")
@click.option("--delay", type=DURATION, help="Wait before it may run, e.g. 90, 5m, 2h.")
@click.option("--timeout", type=DURATION, help="Limit for one attempt.")
@click.option("--max-attempts", type=int, help="Attempts before it has failed.")
@click.option("--callback-url", metavar="URL", help="Whom to tell when it has ended.")
@click.option("--tag", "tags", multiple=True, help="A tag; may be given more than once.")
@click.option("--wait", is_flag=True, help="Wait for its end; exit 6 when it failed.")
@click.option("--wait-for", type=DURATION, default=None, help="… at most this long; then exit 7.")
@click.option(
    "--file",
    metavar="FILE",
    help="Enqueue a job per line of NDJSON instead, each as POST /jobs takes it; - reads stdin.",
)
@output_option
@place_options
def enqueue(
    type_: str | None,
    arguments: tuple[str, ...],
    tags: tuple[str, ...],
    wait: bool,
    wait_for: float | None,
    file: str | None,
    output: str | None,
    place: Place,
    **options: Any,
) -> None:
    """Enqueue a job of TYPE and print it.

    KEY=VALUE adds a string to its input, KEY:=JSON any JSON; `-` reads the whole input as JSON
    from standard input. @FILE uploads the file's bytes instead, with KEY=VALUE as parameters.

    With --file, jobs are stored as their lines are read; bad lines are named at the end (exit 5),
    and all others stay.
    """
    given = {name: value for name, value in options.items() if value is not None}
    waiting = wait or wait_for is not None
    if file is not None:
        if type_ is not None or tags or waiting or given:
            fail("with --file, each line says for itself what its job is", Exit.USAGE)
        _enqueue_lines(file, place)
        return
    if type_ is None:
        fail("enqueue what? trio-jobs enqueue TYPE, or --file FILE", Exit.USAGE)
    job = _placed(place, type_, arguments, tags, given)
    if waiting:
        job = _ended(place, job["id"], wait_for)
    print_rows([job], output or ("json" if is_terminal() else "jsonl"), COLUMNS)
    if waiting and job["status"] == "failed":
        raise SystemExit(int(Exit.JOB_FAILED))


def _placed(
    place: Place,
    type_: str,
    arguments: tuple[str, ...],
    tags: tuple[str, ...],
    given: dict[str, Any],
) -> Any:
    files = [argument for argument in arguments if argument.startswith("@")]
    rest = [argument for argument in arguments if not argument.startswith("@")]
    if files:
        params = {**_pairs(rest), "type": type_, **given}
        if tags:
            params["tags"] = ",".join(tags)
        return place.upload(params, _read(files))
    request = {"type": type_, "input": _input(rest), **given}
    if tags:
        request["tags"] = list(tags)
    return place.enqueue(request)


def _enqueue_lines(file: str, place: Place) -> None:
    with Lines(file) as lines:
        report = place.enqueue_lines(iter(lines))
    again = report["deduplicated"] + report["replayed"]
    click.echo(
        f"{report['created']:,} enqueued"
        + (f"; {again:,} were there already" if again else "")
        + (f"; {report['failed']:,} lines failed" if report["failed"] else ""),
        err=True,
    )
    for error in report["errors"][:MOST_ERRORS]:
        click.echo(f"  line {error['line']}: {error['problem']['detail']}", err=True)
    if not is_terminal():
        click.echo(json.dumps(report, ensure_ascii=False))
    if report["failed"]:
        raise SystemExit(int(Exit.REFUSED))


def _input(arguments: list[str]) -> Any:
    if arguments != ["-"]:
        return _pairs(arguments)
    try:
        return json.load(sys.stdin, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        fail(f"standard input is not JSON: {error}", Exit.USAGE)


def _pairs(arguments: list[str]) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or not name.rstrip(":"):
            fail(f"{argument!r} is not KEY=VALUE, KEY:=JSON, @FILE or -", Exit.USAGE)
        if not name.endswith(":"):
            pairs[name] = value
            continue
        try:
            pairs[name[:-1]] = json.loads(value, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            fail(f"{argument!r}: what follows := is not JSON: {error}", Exit.USAGE)
    return pairs


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _read(files: list[str]) -> bytes:
    if len(files) > 1:
        fail("only one @FILE makes a payload", Exit.USAGE)
    try:
        return Path(files[0][1:]).read_bytes()
    except OSError as error:
        fail(f"{files[0][1:]}: {error.strerror}", Exit.USAGE)


def _ended(place: Place, id_: str, limit: float | None) -> Any:
    give_up = time.monotonic() + (float("inf") if limit is None else limit)
    while True:
        left = max(0.0, give_up - time.monotonic())
        began = time.monotonic()
        # The service answers when the job ends; at once when it is about to stop itself.
        job = place.wait(id_, min(left, LONG_POLL))
        if job["status"] in FINAL:
            return job
        if time.monotonic() >= give_up:
            fail(f"job {id_} is still {job['state']}", Exit.TIMED_OUT)
        if time.monotonic() - began < AGAIN:
            time.sleep(min(AGAIN, max(0.0, give_up - time.monotonic())))
