"""`trio-jobs move`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from ..errors import (
    ConfigError,
    MoveRefused,
    StoreBroken,
    StoreLocked,
    TrioJobsError,
    Unavailable,
)
from ..redaction import without_secrets
from ..storage.move import Moved
from ..storage.move import move as move_all
from .exits import Exit, fail
from .progress import ProgressBar


@click.command()
@click.argument("from_", metavar="FROM")
@click.argument("to", metavar="TO")
def move(from_: str, to: str) -> None:
    """Copy everything from the database FROM to the database TO.

    Both are URLs as for --database: sqlite:///FILE or postgresql://HOST/NAME. Stop the services
    on both first. TO must be empty, or hold a move of FROM that was interrupted: that goes on.
    FROM stays as it is. Event numbers do not go over, and who follows events hears so.
    """
    with _explained(), _bar("jobs moved") as moved, _bar("jobs compared") as compared:
        result = move_all(from_, to, moved=moved, compared=compared)
    _tell(result, to)


def _tell(result: Moved, to: str) -> None:
    if result.began_at:
        click.echo(f"went on after {result.began_at:,} jobs that were there", err=True)
    for name, n in result.rows.items():
        click.echo(f"{n:>12,} {name.replace('_', ' ')}", err=True)
    click.echo(
        "All of it is the same in both. Now start the service with "
        f"--database {without_secrets(to)}; the old database is as it was, and may be kept as a "
        "backup.",
        err=True,
    )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        click.echo("trio-jobs: interrupted; the same command goes on from here", err=True)
        raise
    except (StoreLocked, MoveRefused) as error:
        fail(str(error), Exit.REFUSED)
    except Unavailable as error:
        fail(str(error), Exit.UNREACHABLE)
    except StoreBroken as error:
        fail(str(error), Exit.STORE_BROKEN)
    except ConfigError as error:
        fail(str(error), Exit.USAGE)
    except (TrioJobsError, OSError) as error:
        fail(str(error))


@contextmanager
def _bar(verb: str) -> Iterator[Callable[[int, int], None]]:
    bar = ProgressBar(verb)

    def told(done: int, total: int) -> None:
        bar({"done": done, "matched": total, "scanned": done / total if total else 1.0})

    try:
        yield told
    finally:
        bar.close()
