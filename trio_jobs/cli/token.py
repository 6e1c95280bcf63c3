"""`trio-jobs token`: who may ask a service."""

from typing import Any

import click

from .durations import DURATION
from .output import is_terminal, output_option, print_rows
from .place import Place, place_options

COLUMNS = ("id", "name", "scopes", "types", "queues", "expires_at")


@click.group()
def token() -> None:
    """Make, list and revoke tokens.

    A service that is bound to more than this machine (or has --auth required) asks for one:
    Authorization: Bearer tj_…; commands take theirs from TRIO_JOBS_TOKEN or TRIO_JOBS_TOKEN_FILE.
    """


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="jobs:read, jobs:write, jobs:work, queues:admin, or admin: all of them. Repeatable.",
)
@click.option("--type", "types", multiple=True, help="Only jobs of this type. Repeatable.")
@click.option("--queue", "queues", multiple=True, help="Only jobs in this queue. Repeatable.")
@click.option("--expires", type=DURATION, help="How long it is good, e.g. 12h or 90d.")
@output_option
@place_options
def create(
    name: str,
    scopes: tuple[str, ...],
    types: tuple[str, ...],
    queues: tuple[str, ...],
    expires: float | None,
    output: str | None,
    place: Place,
) -> None:
    """Make a token called NAME and print it, this once: only its hash is kept."""
    made = place.create_token(
        {
            "name": name,
            "scopes": scopes,
            "types": types or None,
            "queues": queues or None,
            "expires_in": expires,
        }
    )
    if output is None:
        click.echo(f"{made['id']} ({name}): keep what follows, it is not shown again", err=True)
        click.echo(made["token"])
    else:
        print_rows([made], output, COLUMNS)


@token.command()
@output_option
@place_options
def ls(output: str | None, place: Place) -> None:
    """List all tokens, expired ones too."""
    output = output or ("table" if is_terminal() else "jsonl")
    tokens = place.tokens()
    print_rows([_row(one) for one in tokens] if output == "table" else tokens, output, COLUMNS)


@token.command()
@click.argument("id_", metavar="ID")
@place_options
def revoke(id_: str, place: Place) -> None:
    """Revoke the token ID; it may be good for a second more."""
    place.revoke_token(id_)
    click.echo(f"{id_} is revoked", err=True)


def _row(token: dict[str, Any]) -> dict[str, Any]:
    """As a table shows it."""
    lists = {name: ",".join(token[name] or ["any"]) for name in ("scopes", "types", "queues")}
    return {**token, **lists, "expires_at": token["expires_at"] or "never"}
