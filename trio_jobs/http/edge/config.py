"""What the connections of one served app share: hypercorn's Config and a little more."""

import logging
import resource
from collections.abc import Callable
from typing import Any

from hypercorn.config import Config

from ...config import Settings
from .access_log import AccessLog
from .connections import Connections
from .proxies import TrustedProxies
from .reply import DateLine

Scope = dict[str, Any]
BodyLimit = Callable[[Scope], int | None]
"""The most bytes that a request's body may have, by its ASGI scope; None is no limit."""

LOGGER = logging.getLogger("trio_jobs.edge")
RESERVED_DESCRIPTORS = 64  # for databases, files and webhooks, whatever clients do


class EdgeConfig(Config):
    """A hypercorn Config from Settings, with what the edge's connections share.

    Nothing here is global: two served apps have two of these. `body_limit` defaults to
    `settings.max_body` for every request. Raises ConfigError for a network that is none.
    """

    accesslog = None
    errorlog = LOGGER
    include_server_header = False
    alpn_protocols = ["h2", "http/1.1"]  # noqa: RUF012  # as hypercorn declares it

    def __init__(self, settings: Settings, body_limit: BodyLimit | None = None) -> None:
        self.settings = settings
        self.bind = [settings.bind]
        # Ours ends first, a few connections at a time; hypercorn's is for what then is left.
        self.graceful_timeout = settings.shutdown_grace + 1.0
        self.keep_alive_timeout = settings.keep_alive
        self.ssl_handshake_timeout = settings.head_timeout
        self.h2_max_header_list_size = settings.max_head
        self.certfile = settings.tls_cert
        self.keyfile = settings.tls_key
        self.body_limit: BodyLimit = body_limit or (lambda _: settings.max_body)
        self.proxies = TrustedProxies(settings.trusted_proxies)
        self.access_log = AccessLog() if settings.access_log else None
        self.date_line = DateLine()
        shortest = min(
            settings.head_timeout, settings.body_timeout, settings.keep_alive, settings.send_timeout
        )
        self.connections = Connections(
            _affordable(settings.max_connections),
            settings.max_connections_per_ip,
            tick=min(0.5, max(0.02, shortest / 10)),
        )


def _affordable(wanted: int) -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, soft - RESERVED_DESCRIPTORS))
