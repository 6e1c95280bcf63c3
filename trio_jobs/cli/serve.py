"""`trio-jobs serve`."""

import gc
import logging
import resource
import sys
from contextlib import suppress
from functools import partial
from typing import Any

import click
import trio

from .. import __version__
from ..builtin import handlers
from ..config import Settings
from ..registry import Registry
from ..runtime import Runtime, exit_code, reasons
from .exits import Exit, fail
from .settings import load, setting_options

MAX_DESCRIPTORS = 65_536


@click.command()
@setting_options()
def serve(**flags: Any) -> None:
    """Run the service: HTTP API and workers, in this process, until Ctrl-C.

    The first Ctrl-C lets running jobs end (up to --shutdown-grace), the second cancels them and
    puts them back into their queue, the third exits at once.
    """
    settings, _ = load(flags)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("trio_jobs.edge").setLevel(logging.WARNING)  # we greet ourselves
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the URLs of webhooks may hold secrets
    tune_process()
    try:
        registry = Registry(handlers(settings))
        trio.run(Runtime(settings, registry, on_ready=partial(_greet, settings)).run)
    except BaseException as error:
        found = reasons(error)
        if not found:
            raise
        fail(_explained(found[0], settings), Exit(exit_code(found)))


def tune_process() -> None:
    """What a process that serves wants of Python and of the system."""
    # With Python's own thresholds, the p99 of POSTs on 64 connections was 26 to 37 ms in three
    # runs; with these 17 to 24.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most > MAX_DESCRIPTORS:
        most = MAX_DESCRIPTORS
    with suppress(OSError, ValueError):  # a connection is a descriptor
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        )


def _explained(error: Exception, settings: Settings) -> str:
    if isinstance(error, OSError):
        return f"cannot serve on {settings.bind}: {error.strerror or error}"
    return str(error)


def _greet(settings: Settings, addresses: list[str]) -> None:
    address = addresses[0]
    if not sys.stderr.isatty():
        logging.getLogger("trio_jobs").info("serving on %s", address)
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
