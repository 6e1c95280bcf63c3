"""`trio-jobs migrate`."""

import click

from ..errors import TrioJobsError
from ..storage import sqlite_path
from ..storage.connection import open_writer, schema_version
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
        db = open_writer(path, durable=True)
        click.echo(f"{path}: schema {schema_version(db)}", err=True)
        db.close()
    except TrioJobsError as error:
        fail(str(error))
