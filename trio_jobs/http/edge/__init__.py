"""Serving an ASGI app to the world: hypercorn's server, with our connections in it.

hypercorn binds, accepts, runs the app's lifespan and stops gracefully, and speaks HTTP/2 over
TLS; every connection is an `EdgeConnection`. The one seam is the name `TCPServer` in
`hypercorn.trio.run`, which is bound to a function that picks the class by the config: whoever
else serves with hypercorn in this process, with a Config of its own, gets hypercorn's class.
"""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import hypercorn.trio.run as hypercorn_run
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config, Sockets
from hypercorn.trio.tcp_server import TCPServer

from ...config import Settings
from ...errors import ConfigError
from .config import BodyLimit, EdgeConfig
from .connection import EdgeConnection
from .sockets import listening

__all__ = ["BodyLimit", "EdgeConfig", "EdgeConnection", "serve"]


async def serve(
    app: Callable[..., Awaitable[None]],
    settings: Settings,
    *,
    shutdown_trigger: Callable[[], Awaitable[object]] | None = None,
    body_limit: BodyLimit | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` (ASGI 3) until `shutdown_trigger` returns, then stop gracefully.

    Listens on `settings.bind`, with the socket `settings.listen_fd` if there is one. `body_limit`
    gives, for a request's scope, the most bytes of its body (None: no limit; default:
    `settings.max_body`). Calls `task_status.started` with the URLs once connections are taken.

    When the trigger returns, the listeners and the idle connections close, busy ones end their
    response and close, and what is left after `settings.shutdown_grace` seconds is cancelled.
    Raises OSError when it cannot listen, ConfigError for certificates or networks that cannot
    be used, and what the app's startup raises. Cancellation closes everything at once.
    """
    _take_the_seam()
    config = EdgeConfig(settings, body_limit)
    try:
        config.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"tls_cert or tls_key cannot be used: {error}") from error

    async def stop() -> None:
        if shutdown_trigger is None:
            await trio.sleep_forever()
        else:
            await shutdown_trigger()
        # Before hypercorn sets `terminated`, and in the same moment: no connection needs a
        # task of its own that waits for that.
        config.connections.stop()
        nursery.start_soon(config.connections.drop, settings.shutdown_grace)

    with ExitStack() as cleanup:
        sock = cleanup.enter_context(listening(settings.bind, settings.listen_fd))
        secure, insecure = ([sock], []) if config.ssl_enabled else ([], [sock])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(config.connections.watch)
            if config.access_log is not None:
                await nursery.start(config.access_log.run)
            await hypercorn_run.worker_serve(
                ASGIWrapper(app),
                config,
                sockets=Sockets(secure, insecure, []),
                shutdown_trigger=stop,
                task_status=task_status,
            )
            nursery.cancel_scope.cancel()


def _connect(app: Any, config: Config, context: Any, state: Any, stream: Any) -> Any:
    """Stands in for `TCPServer` in `hypercorn.trio.run`."""
    kind: Any = EdgeConnection if isinstance(config, EdgeConfig) else TCPServer
    return kind(app, config, context, state, stream)


def _take_the_seam() -> None:
    if getattr(hypercorn_run, "TCPServer", None) not in (TCPServer, _connect):
        raise RuntimeError("hypercorn.trio.run has no TCPServer to replace: see http/edge.py")
    # Not an export, and not meant to be set: there is no other seam.
    hypercorn_run.TCPServer = _connect  # type: ignore[attr-defined, assignment]
