"""Where a command works: through a running service, or straight on the database."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, Protocol

import click

from ..config import SERVER_VARIABLE, TOKEN_VARIABLE
from .exits import Exit, fail

DEFAULT = "http://127.0.0.1:8080"
Told = Callable[[dict[str, Any]], None]

PAGE = 500  # jobs asked for at a time
LOST = "lost"  # the event that stands for some that are forgotten


class Place(Protocol):
    """What can be done there. Answers look as on the wire; what fails ends the process."""

    def enqueue(self, request: Mapping[str, Any]) -> Any:
        """The job that stands for `request`, the body of a POST /jobs."""

    def upload(self, params: Mapping[str, Any], body: bytes) -> Any:
        """The job whose payload is `body`."""

    def enqueue_lines(self, chunks: Iterator[bytes]) -> dict[str, Any]:
        """What became of the lines of NDJSON that `chunks` hold."""

    def get(self, id_: str) -> Any: ...

    def wait(self, id_: str, seconds: float) -> Any:
        """The job when it has ended, or as it is after that time or when the service stops."""

    def result(self, id_: str) -> bytes: ...

    def list_jobs(self, filter: Mapping[str, str], limit: int) -> list[Any]:
        """Newest first, without bodies; at most 500."""

    def newest(self, most: int) -> list[str]:
        """The ids of the newest jobs, newest first."""

    def one(self, action: str, id_: str) -> Any:
        """Cancels, retries or deletes one job: the job, or None when it is gone."""

    def many(
        self,
        action: str,
        ids: Sequence[str] | None,
        filter: Mapping[str, str] | None,
        *,
        dry_run: bool,
        told: Told,
    ) -> dict[str, Any]:
        """The final progress; `told` gets each before."""

    def why(self, id_: str) -> dict[str, Any]: ...

    def logs(self, id_: str, *, follow: bool, told: Told) -> None:
        """Gives each line to `told`; with `follow`, until the job ends."""

    def queues(self) -> list[dict[str, Any]]: ...

    def pause(self, name: str) -> dict[str, Any]: ...

    def resume(self, name: str) -> dict[str, Any]: ...

    def purge(self, name: str, *, told: Told) -> dict[str, Any]: ...

    def tail(self, told: Told) -> None:
        """Gives each event of any job to `told`, as it happens, for ever."""

    def create_token(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """The token for `wish`, the body of a POST /tokens, with its secret."""

    def tokens(self) -> list[dict[str, Any]]: ...

    def revoke_token(self, id_: str) -> None: ...

    def types(self) -> list[dict[str, Any]]: ...

    def workers(self) -> list[dict[str, Any]]:
        """That of the service, if one is asked, and those elsewhere."""

    def direct(self, directive: str, names: list[str]) -> list[dict[str, Any]]:
        """Tells workers elsewhere what to do; name and directive of each."""


server_option = click.option(
    "--server",
    metavar="URL",
    help=f"The service to ask. [{SERVER_VARIABLE}; default: {DEFAULT}; its token: "
    f"{TOKEN_VARIABLE} or {TOKEN_VARIABLE}_FILE]",
)


def server_url(given: str | None) -> str:
    """Where the service is: as given, as the environment says, or in its usual place."""
    return given or os.environ.get(SERVER_VARIABLE, DEFAULT)


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --server and --database; the command gets `place`."""

    @server_option
    @click.option(
        "--database",
        metavar="URL",
        help="Work straight on this database instead, whether a service runs on it or not.",
    )
    @wraps(command)
    def with_place(*args: Any, server: str | None, database: str | None, **rest: Any) -> Any:
        if server is not None and database is not None:
            fail("--server and --database exclude each other", Exit.USAGE)
        return command(*args, place=_place(server, database), **rest)

    return with_place


def _place(server: str | None, database: str | None) -> Place:
    # Imported here: the one is there without trio, the other without httpx.
    if database is not None:
        from .on_file import OnFile

        return OnFile(database)
    from .over_http import OverHttp

    return OverHttp(server_url(server))
