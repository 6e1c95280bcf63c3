"""`trio-jobs worker`."""

import logging
from dataclasses import fields, replace
from functools import partial
from typing import Any

import click

from ..config import Settings
from ..errors import StoreLocked
from ..redaction import without_secrets
from .child import stop_with_parent
from .crew import run_crew
from .daemon import Daemon
from .settings import load, setting_options

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
@setting_options({spec.name for spec in fields(Settings)} - OF_HTTP - DECIDED)
def worker(target: str | None, with_parent: bool, **flags: Any) -> None:
    """Run jobs without serving HTTP, beside a service on the same database.

    That service needs --shared, to let other processes at its file. MODULE:APP is a trio_jobs.Jobs
    with job types of your own, such as tasks:app; jobs of other types are left to others.

    Ctrl-C stops it as it stops `serve`.
    """
    settings, _ = load(flags)
    settings = replace(settings, worker=True, shared=True)
    if settings.processes > 1:
        run_crew(settings, "worker", target, flags)
    if with_parent:
        stop_with_parent()
    Daemon(settings, target, http=False, greet=partial(_greet, settings), explain=_explained).run()


def _explained(error: Exception) -> str:
    if isinstance(error, StoreLocked):
        return f"{error} (A worker always shares: it is the other one that has to.)"
    return str(error)


def _greet(settings: Settings, addresses: list[str]) -> None:
    log.info("working on %s", without_secrets(settings.database).removeprefix("sqlite:///"))
