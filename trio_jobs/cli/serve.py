"""`trio-jobs serve`."""

import logging
import sys
from functools import partial
from typing import Any

import click

from .. import __version__
from ..config import Settings
from .daemon import Daemon
from .settings import load, setting_options

log = logging.getLogger("trio_jobs")


@click.command()
@click.argument("target", required=False, metavar="[MODULE:APP]")
@setting_options()
def serve(target: str | None, **flags: Any) -> None:
    """Run the service: HTTP API and workers, in this process, until Ctrl-C.

    MODULE:APP is a trio_jobs.Jobs with job types of your own, such as tasks:app.

    The first Ctrl-C lets running jobs end (up to --shutdown-grace), the second cancels them and
    puts them back into their queue, the third exits at once.
    """
    settings, _ = load(flags)
    Daemon(
        settings,
        target,
        http=True,
        greet=partial(_greet, settings),
        explain=partial(_explained, settings),
    ).run()


def _explained(settings: Settings, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot serve on {settings.bind}: {error.strerror or error}"
    return str(error)


def _greet(settings: Settings, addresses: list[str]) -> None:
    address = addresses[0]
    if not sys.stderr.isatty():
        log.info("serving on %s", address)
        return
    workers = f"{settings.concurrency} jobs at a time" if settings.worker else "no workers here"
    job = '{"type":"send_email","input":{"to":"me@example.com","subject":"Hello"}}'
    click.echo(
        f"trio_jobs {__version__}\n"
        f"  address   {address}\n"
        f"  database  {settings.database.removeprefix('sqlite:///')}  ({workers})\n\n"
        f"  curl -H 'Content-Type: application/json' {address}/jobs \\\n       -d '{job}'\n\n"
        "  Ctrl-C stops.",
        err=True,
    )
