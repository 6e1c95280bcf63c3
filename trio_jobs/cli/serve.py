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
from ..redaction import without_secrets
from .child import command_line, stop_with_parent
from .crew import run_crew
from .daemon import Daemon, logging_to_stderr, run_here
from .reloader import Reloader
from .settings import load, setting_options

log = logging.getLogger("trio_jobs")


@click.command()
@click.argument("target", required=False, metavar="[MODULE:APP]")
@click.option("--reload", is_flag=True, help="Start again when a Python file here has changed.")
@click.option("--with-parent", is_flag=True, hidden=True)
@setting_options()
def serve(target: str | None, reload: bool, with_parent: bool, **flags: Any) -> None:
    """Run the service: HTTP API and workers, in this process, until Ctrl-C.

    MODULE:APP is a trio_jobs.Jobs with job types of your own, such as tasks:app.

    The first Ctrl-C lets running jobs end (up to --shutdown-grace), the second cancels them and
    puts them back into their queue, the third exits at once.
    """
    settings, _ = load(flags)
    if reload:
        with logging_to_stderr(settings):
            code = trio.run(Reloader(command_line("serve", target, flags), Path.cwd()).run)
        sys.exit(code)
    if settings.processes > 1:
        _serve_together(settings, target, flags)
    if with_parent:
        stop_with_parent()
    work = partial(run_here, http=True, greet=partial(_greet, settings))
    Daemon(settings, target, work, explain=_explained).run()


def _serve_together(settings: Settings, target: str | None, flags: dict[str, Any]) -> NoReturn:
    """Children serve, on a socket that is made here."""
    from ..http.edge.sockets import address, listening  # and quart

    try:
        with listening(settings.bind, settings.listen_fd) as sock:
            bind = address(sock)
            own = {"bind": bind, "listen_fd": sock.fileno(), "shared": True}
            run_crew(settings, "serve", target, flags | own, pass_fds=(sock.fileno(),))
    except OSError as error:
        raise click.ClickException(_explained(error)) from None


def _explained(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and not error.filename:
        return error.strerror
    return str(error)


def _greet(settings: Settings, addresses: list[str]) -> None:
    address = addresses[0]
    if settings.listen_fd or not sys.stderr.isatty():
        log.info("serving on %s", address)
        return
    workers = f"{settings.concurrency} jobs at a time" if settings.worker else "no workers here"
    database = without_secrets(settings.database).removeprefix("sqlite:///")
    job = '{"type":"send_email","input":{"to":"me@example.com","subject":"Hello"}}'
    click.echo(
        f"trio_jobs {__version__}\n"
        f"  address   {address}\n"
        f"  database  {database}  ({workers})\n\n"
        f"  curl -H 'Content-Type: application/json' {address}/jobs \\\n       -d '{job}'\n\n"
        "  Ctrl-C stops.",
        err=True,
    )
