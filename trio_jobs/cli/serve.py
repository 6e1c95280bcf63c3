"""`trio-jobs serve`."""

import gc
import logging
import os
import resource
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio

from .. import __version__, logs
from ..builtin import handlers
from ..config import Settings
from ..redaction import Redactor, without_secrets
from ..registry import Registry
from ..runtime import Runtime, exit_code, reasons
from .settings import load, setting_options

log = logging.getLogger("trio_jobs")

MAX_DESCRIPTORS = 65_536


@click.command()
@setting_options()
def serve(**flags: Any) -> None:
    """Run the service: HTTP API and workers, in this process, until Ctrl-C.

    The first Ctrl-C lets running jobs end (up to --shutdown-grace), the second cancels them and
    puts them back into their queue, the third exits at once.
    """
    settings, _ = load(flags)
    if sys.stderr is None:  # closed: the next file to be opened would get its number
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    with logs.installed(
        sys.stderr.fileno(),
        look=settings.log_format,
        level=settings.log_level,
        redactor=Redactor(settings.redact, settings.secrets),
    ):
        tune_process()
        code = _serve(settings)
    sys.exit(code)


def _serve(settings: Settings) -> int:
    """Until it has ended, for whatever reason; how the process exits. All it says is logged."""
    try:
        registry = Registry(handlers(settings))
        trio.run(Runtime(settings, registry, on_ready=partial(_greet, settings)).run)
    except (Exception, BaseExceptionGroup) as error:
        found = reasons(error)
        if found:
            log.critical("%s", _explained(found[0], settings))
        else:
            log.critical("the service has failed", exc_info=error)
        return exit_code(found)
    return 0


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
