"""`trio-jobs enqueue`, `show` and `ls`, through a running service."""

import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from .durations import DURATION
from .exits import Exit, fail
from .filters import FILTER_HELP, filter_words
from .output import is_terminal, output_option, print_rows
from .remote import Server, server_option

FINAL = ("done", "failed")
LONG_POLL = 20.0  # seconds
AGAIN = 0.5
COLUMNS = ("id", "type", "queue", "state", "attempt", "created_at")


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
    print_rows([job], output or ("json" if is_terminal() else "jsonl"), COLUMNS)
    if (wait or wait_for is not None) and job["status"] == "failed":
        raise SystemExit(int(Exit.JOB_FAILED))


@click.command()
@click.argument("id_", metavar="ID")
@output_option
@server_option
def show(id_: str, output: str | None, server: str) -> None:
    """Show the job ID with its input and output."""
    job = Server(server).call("GET", f"/jobs/{quote(id_, safe='')}")
    print_rows([job], output or ("json" if is_terminal() else "jsonl"), COLUMNS)


@click.command()
@click.option("--status", type=click.Choice(["pending", "running", "done", "failed"]))
@click.option("--type", "type_", metavar="TYPE", help="Only jobs of this type.")
@click.option("--filter", "words", metavar="WORDS", help=FILTER_HELP)
@click.option("-n", "--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@output_option
@server_option
def ls(
    status: str | None,
    type_: str | None,
    words: str | None,
    limit: int,
    output: str | None,
    server: str,
) -> None:
    """List jobs, newest first."""
    chosen = {} if words is None else filter_words(words)
    filters = {"status": status, "type": type_, "limit": limit}
    params = chosen | {name: value for name, value in filters.items() if value is not None}
    jobs = Server(server).call("GET", "/jobs", params=params)["jobs"]
    print_rows(jobs, output or ("table" if is_terminal() else "jsonl"), COLUMNS)


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
    while True:
        left = max(0.0, give_up - time.monotonic())
        began = time.monotonic()
        # The service answers when the job ends; at once when it is about to stop itself.
        job = api.call("GET", f"/jobs/{id_}", params={"wait": min(left, LONG_POLL)})
        if job["status"] in FINAL:
            return job
        if time.monotonic() >= give_up:
            fail(f"job {id_} is still {job['state']}", Exit.TIMED_OUT)
        if time.monotonic() - began < AGAIN:
            time.sleep(min(AGAIN, max(0.0, give_up - time.monotonic())))
