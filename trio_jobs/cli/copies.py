"""`trio-jobs backup` and `restore`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigError, StoreLocked, TrioJobsError
from ..storage import copies, sqlite_path
from .exits import Exit, fail
from .progress import ProgressBar
from .settings import load, setting_options


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--force", is_flag=True, help="Also over a file that is there.")
@setting_options(["database"])
def backup(file: str, force: bool, **flags: Any) -> None:
    """Copy the database to FILE, as it is at this moment; a service may be at work on it."""
    settings, _ = load(flags)
    target = Path(file)
    if target.exists() and not force:
        fail(f"{file} is there already; --force writes over it", Exit.REFUSED)
    with _explained(), _bar() as told:
        database = sqlite_path(settings.database)
        if target.resolve() == database.resolve():
            fail("a backup of the database cannot be the database itself", Exit.USAGE)
        copies.backup(database, target, told)
    click.echo(f"{file}: {target.stat().st_size:,} bytes", err=True)


@click.command()
@click.argument("file", metavar="FILE")
@setting_options(["database"])
def restore(file: str, **flags: Any) -> None:
    """Put the copy FILE in the place of the database, after all of it has been checked.

    Not while a service runs on it. The old database stays beside the new one. Jobs that have ended
    since the copy was made will run again, and those that came since are not there.
    """
    settings, _ = load(flags)
    with _explained(), _bar() as told:
        database = sqlite_path(settings.database)
        kept = copies.restore(Path(file), database, told)
    click.echo(
        f"{database} restored" + ("" if kept is None else f"; the old one is {kept}"), err=True
    )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except StoreLocked as error:
        fail(str(error), Exit.REFUSED)
    except ConfigError as error:
        fail(str(error), Exit.USAGE)
    except (TrioJobsError, OSError) as error:
        fail(str(error))


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    bar = ProgressBar("pages")

    def told(done: int, total: int) -> None:
        bar({"done": done, "matched": total, "scanned": done / total if total else 1.0})

    try:
        yield told
    finally:
        bar.close()
