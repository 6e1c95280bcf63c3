"""`trio-jobs enqueue`, `show` and `ls`, through a running service."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from .durations import DURATION
from .exits import Exit, fail
from .remote import Server, server_option

FINAL = ("done", "failed")
COLUMNS = ("id", "type", "queue", "state", "attempt", "created_at")

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "jsonl", "id"]),
    default=None,
    help="How the answer is written. [default: table on a terminal, else jsonl]",
)


@click.command()
@click.argument("type_", metavar="TYPE")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE | KEY:=JSON | @FILE | -]...")
@click.option("--queue", help="Its queue.")
@click.option("--priority", type=int, help="-100 to 100; higher goes first.")
@click.option("--delay", type=DURATION, help="Wait before it may run, e.g. 90, 5m, 2h.")
@click.option("--timeout", type=DURATION, help="Limit for one attempt.")
@click.option("--max-attempts", type=int, help="Attempts before it has failed.")
@click.option("--tag", "tags", multiple=True, help="A tag; may be given more than once.")
@click.option("--wait", is_flag=True, help="Wait for its end; exit 6 when it failed.")
@click.option("--wait-for", type=DURATION, default=None, help="… at most this long; then exit 7.")
@output_option
@server_option
def enqueue(
    type_: str,
    arguments: tuple[str, ...],
    tags: tuple[str, ...],
    wait: bool,
    wait_for: float | None,
    output: str | None,
    server: str,
    **options: Any,
) -> None:
    """Enqueue a job of TYPE and print it.

    KEY=VALUE adds a string to its input, KEY:=JSON any JSON; `-` reads the whole input as JSON
    from standard input. @FILE uploads the file's bytes instead, with KEY=VALUE as parameters.
    """
    given = {name: value for name, value in options.items() if value is not None}
    files = [argument for argument in arguments if argument.startswith("@")]
    rest = [argument for argument in arguments if not argument.startswith("@")]
    api = Server(server)
    if files:
        params = {**_pairs(rest), "type": type_, **given}
        if tags:
            params["tags"] = ",".join(tags)
        headers = {"Content-Type": "application/octet-stream"}
        body = _read(files)
        job = api.call("POST", "/jobs", params=params, content=body, headers=headers)
    else:
        request = {"type": type_, "input": _input(rest), **given}
        if tags:
            request["tags"] = list(tags)
        job = api.call("POST", "/jobs", json=request)
    if wait or wait_for is not None:
        job = _ended(api, job["id"], wait_for)
    _print([job], output or ("json" if sys.stdout.isatty() else "jsonl"))
    if (wait or wait_for is not None) and job["status"] == "failed":
        raise SystemExit(int(Exit.JOB_FAILED))


@click.command()
@click.argument("id_", metavar="ID")
@output_option
@server_option
def show(id_: str, output: str | None, server: str) -> None:
    """Show the job ID with its input and output."""
    job = Server(server).call("GET", f"/jobs/{id_}")
    _print([job], output or ("json" if sys.stdout.isatty() else "jsonl"))


@click.command()
@click.option("--status", type=click.Choice(["pending", "running", "done", "failed"]))
@click.option("--type", "type_", metavar="TYPE", help="Only jobs of this type.")
@click.option("-n", "--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@output_option
@server_option
def ls(status: str | None, type_: str | None, limit: int, output: str | None, server: str) -> None:
    """List jobs, newest first."""
    filters = {"status": status, "type": type_, "limit": limit}
    params = {name: value for name, value in filters.items() if value is not None}
    jobs = Server(server).call("GET", "/jobs", params=params)["jobs"]
    _print(jobs, output or ("table" if sys.stdout.isatty() else "jsonl"))


def _input(arguments: list[str]) -> Any:
    if arguments != ["-"]:
        return _pairs(arguments)
    try:
        return json.load(sys.stdin)
    except ValueError as error:
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
        except ValueError as error:
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


def _ended(api: Server, id_: str, limit: float | None) -> Any:
    give_up = time.monotonic() + (float("inf") if limit is None else limit)
    pause = 0.05
    while True:
        job = api.call("GET", f"/jobs/{id_}")
        if job["status"] in FINAL:
            return job
        if time.monotonic() >= give_up:
            fail(f"job {id_} is still {job['state']}", Exit.TIMED_OUT)
        time.sleep(min(pause, max(0.0, give_up - time.monotonic())))
        pause = min(pause * 1.5, 1.0)


def _print(jobs: list[Any], output: str) -> None:
    if output == "id":
        lines = [job["id"] for job in jobs]
    elif output == "jsonl":
        lines = [json.dumps(job, ensure_ascii=False) for job in jobs]
    elif output == "json":
        shown = jobs[0] if len(jobs) == 1 else jobs
        lines = [json.dumps(shown, ensure_ascii=False, indent=2)]
    else:
        rows = [COLUMNS, *(tuple(str(job[column]) for column in COLUMNS) for job in jobs)]
        widths = [max(len(row[at]) for row in rows) for at in range(len(COLUMNS))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
    for line in lines:
        click.echo(line)
