"""Where a command works: through a running service, or straight on the database."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Protocol

import click

from ..config import SERVER_VARIABLE
from .exits import Exit, fail
from .remote import DEFAULT

Told = Callable[[dict[str, Any]], None]


class Place(Protocol):
    """What can be done there. Answers look as on the wire; what fails ends the process."""

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


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --server and --database; the command gets `place`."""

    @click.option(
        "--server",
        metavar="URL",
        help=f"The service to ask. [{SERVER_VARIABLE}; default: {DEFAULT}]",
    )
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

    return OverHttp(server or os.environ.get(SERVER_VARIABLE, DEFAULT))
