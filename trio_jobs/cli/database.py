"""`trio-jobs migrate`."""

from pathlib import Path
from typing import Any

import click

from ..disk import make_directory
from ..errors import TrioJobsError
from ..redaction import without_secrets
from ..storage import is_postgres, postgres_upkeep, sqlite_path
from ..storage.connection import open_writer, schema_version
from ..storage.copies import schema_of
from ..storage.migrations import migrations
from ..storage.presence import Presence
from .exits import fail
from .settings import load, setting_options


@click.command()
@click.argument("action", required=False, default="up", type=click.Choice(["up", "status"]))
@setting_options(["database"])
def migrate(action: str, **flags: Any) -> None:
    """Create the database or bring its schema up to date; or tell its status.

    `serve` does this by itself at its start; this command is for those who want it apart.
    """
    settings, _ = load(flags)
    try:
        if is_postgres(settings.database):
            _on_server(settings.database, action)
            return
        path = sqlite_path(settings.database)
        if action == "up":
            _bring_up(path)
        else:
            _tell(path)
    except (TrioJobsError, OSError) as error:
        fail(str(error))


def _bring_up(path: Path) -> None:
    make_directory(path.parent)
    presence = Presence(path, shared=False)  # not under a service that is running
    try:
        db = open_writer(path, durable=True)
        click.echo(f"{path}: schema {schema_version(db)}", err=True)
        db.close()
    finally:
        presence.leave()


def _tell(path: Path) -> None:
    """A line for each migration: what is done, and what is yet to be."""
    _list("sqlite", schema_of(path) if path.exists() else 0)


def _on_server(url: str, action: str) -> None:
    upkeep = postgres_upkeep()
    if action == "up":
        click.echo(f"{without_secrets(url)}: schema {upkeep.bring_up(url)}", err=True)
    else:
        _list("postgres", upkeep.standing(url).schema)


def _list(dialect: str, found: int) -> None:
    for migration in migrations(dialect):
        state = "applied" if migration.version <= found else "pending"
        click.echo(f"{migration.label}  {state}")
