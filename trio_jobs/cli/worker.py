"""`trio-jobs worker`."""

import logging
from dataclasses import fields, replace
from functools import partial
from typing import Any

import click
import trio

from ..config import TOKEN_VARIABLE, Settings
from ..errors import StoreLocked
from ..redaction import without_secrets
from ..runtime.runtime import WATCHDOG
from ..runtime.signals import Signals
from .child import stop_with_parent
from .crew import run_crew
from .daemon import Daemon, Work, run_here
from .settings import load, setting_options
from .target import Target

log = logging.getLogger("trio_jobs")

DECIDED = frozenset({"worker", "shared"})
OF_HTTP = frozenset(
    {
        *(
            "bind",
            "listen_fd",
            "auth",
            "rate_limit",
            "max_body",
            "max_upload",
            "max_batch",
            "allowed_hosts",
        ),
        *("head_timeout", "body_timeout", "keep_alive", "send_timeout", "max_head"),
        *("max_headers", "max_url", "max_connections", "max_connections_per_ip"),
        *("trusted_proxies", "tls_cert", "tls_key", "access_log"),
    }
)


@click.command()
@click.argument("target", required=False, metavar="[MODULE:APP]")
@click.option("--with-parent", is_flag=True, hidden=True)
@click.option(
    "--server",
    metavar="URL",
    help="Work for the service there, with nothing but HTTP between. It needs a token with the "
    f"scope jobs:work: {TOKEN_VARIABLE} or {TOKEN_VARIABLE}_FILE.",
)
@setting_options({spec.name for spec in fields(Settings)} - OF_HTTP - DECIDED)
def worker(target: str | None, with_parent: bool, server: str | None, **flags: Any) -> None:
    """Run jobs without serving HTTP: beside a service on the same database, or, with --server,
    for a service anywhere.

    A service on the same file needs --shared, to let other processes at it. MODULE:APP is a
    trio_jobs.Jobs with job types of your own, such as tasks:app; jobs of other types are left to
    others.

    Ctrl-C stops it as it stops `serve`.
    """
    settings, _ = load(flags)
    settings = replace(settings, worker=True, shared=True)
    if server is not None and flags["database"] is not None:
        raise click.UsageError("--server and --database exclude each other")
    if settings.processes > 1:
        run_crew(settings, "worker", target, flags | {"server": server})
    if with_parent:
        stop_with_parent()
    work: Work = partial(run_here, http=False, greet=partial(_greet, settings))
    if server is not None:
        work = partial(_run_there, server)
    Daemon(settings, target, work, explain=_explained).run()


async def _run_there(server: str, target: Target) -> None:
    from ..client.place import Place  # and httpx
    from ..remote import work_at

    place = Place.find(server, None)
    signals = Signals(target.settings.shutdown_grace + WATCHDOG, hurry=trio.Event())
    work = partial(work_at, place, target.registry, target.settings)
    with signals.handled():
        async with trio.open_nursery() as nursery:
            name = await nursery.start(partial(work, stop=signals.stop, hurry=signals.hurry))
            log.info("working for %s as %s", place.url, name)


def _explained(error: Exception) -> str:
    if isinstance(error, StoreLocked):
        return f"{error} (A worker always shares: it is the other one that has to.)"
    return str(error)


def _greet(settings: Settings, addresses: list[str]) -> None:
    log.info("working on %s", without_secrets(settings.database).removeprefix("sqlite:///"))
