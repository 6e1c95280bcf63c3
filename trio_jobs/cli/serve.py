"""`trio-jobs serve`."""

import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
import trio

from .. import __version__
from ..config import Settings
from .daemon import Daemon, logging_to_stderr
from .reloader import Reloader, stop_with_parent
from .settings import load, setting_options

log = logging.getLogger("trio_jobs")


@click.command()
@click.argument("target", required=False, metavar="[MODULE:APP]")
@click.option("--reload", is_flag=True, help="Start again when a Python file here has changed.")
@click.option("--with-parent", is_flag=True, hidden=True)  # what --reload starts
@setting_options()
def serve(target: str | None, reload: bool, with_parent: bool, **flags: Any) -> None:
    """Run the service: HTTP API and workers, in this process, until Ctrl-C.

    MODULE:APP is a trio_jobs.Jobs with job types of your own, such as tasks:app.

    The first Ctrl-C lets running jobs end (up to --shutdown-grace), the second cancels them and
    puts them back into their queue, the third exits at once.
    """
    settings, _ = load(flags)
    if reload:
        _serve_anew(settings, target, flags)
    if with_parent:
        stop_with_parent()
    Daemon(
        settings,
        target,
        http=True,
        greet=partial(_greet, settings),
        explain=partial(_explained, settings),
    ).run()


def _serve_anew(settings: Settings, target: str | None, flags: dict[str, Any]) -> NoReturn:
    """A child serves, with the same flags."""
    # -P: a click.py in the working directory is nothing that `python -m` should find.
    command = [sys.executable, "-P", "-m", "trio_jobs", "serve", "--with-parent"]
    for name, value in flags.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            command.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            command.append(f"--{flag}={value}")
    with logging_to_stderr(settings):
        code = trio.run(Reloader([*command, *filter(None, [target])], Path.cwd()).run)
    sys.exit(code)


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
