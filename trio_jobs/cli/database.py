"""`trio-jobs migrate`."""

import click

from ..errors import TrioJobsError
from ..storage import sqlite_path
from ..storage.connection import open_writer, schema_version
from ..storage.presence import Presence
from .exits import fail
from .settings import load, setting_options


@click.command()
@setting_options(["database"])
def migrate(**flags: str | None) -> None:
    """Create the database or bring its schema up to date.

    `serve` does this by itself at its start; this command is for those who want it apart.
    """
    settings, _ = load(dict(flags))
    try:
        path = sqlite_path(settings.database)
        path.parent.mkdir(parents=True, exist_ok=True)
        presence = Presence(path, shared=False)  # not under a service that is running
        db = open_writer(path, durable=True)
        click.echo(f"{path}: schema {schema_version(db)}", err=True)
        db.close()
        presence.leave()
    except (TrioJobsError, OSError) as error:
        fail(str(error))
