"""A visit to a database file: open it, do something, leave it again."""

from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import trio

from ..builtin import handlers
from ..config import Settings
from ..errors import (
    ConfigError,
    InvalidInput,
    NotFound,
    StoreBroken,
    StoreError,
    StoreLocked,
    TrioJobsError,
)
from ..registry import Registry
from ..runtime import reasons
from ..service import Callbacks, Service
from ..storage import open_visitor
from .exits import Exit, fail

T = TypeVar("T")


def visit(settings: Settings, work: Callable[[Service], Awaitable[T]]) -> T:
    """What `work` brings, beside whatever service has the file. What fails ends the process with a
    sentence and the right exit code."""
    try:
        return trio.run(_visit, settings, work)
    except BaseException as error:
        causes = reasons(error)
        if not causes:
            raise
        if not isinstance(causes[0], TrioJobsError):
            raise causes[0] from None  # nobody reads our output any more, say
        give_up(causes[0])


async def _visit(settings: Settings, work: Callable[[Service], Awaitable[T]]) -> T:
    store = open_visitor(settings.database, Callbacks(settings))
    service = Service(store, Registry(handlers(settings)), settings, now=store.now)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        nursery.start_soon(service.watch.run)
        try:
            return await work(service)
        finally:
            service.watch.close()
            store.close()


def give_up(error: TrioJobsError) -> NoReturn:
    """Ends the process as the service's answer to `error` would have made it end."""
    said = str(error)
    if isinstance(error, InvalidInput) and error.pointer:
        said = f"{error.pointer}: {error.detail}"
    fail(said, _code(error))


def _code(error: TrioJobsError) -> Exit:
    if isinstance(error, NotFound):
        return Exit.NOT_FOUND
    if isinstance(error, StoreBroken):
        return Exit.STORE_BROKEN
    if isinstance(error, ConfigError):
        return Exit.USAGE
    if isinstance(error, StoreError) and not isinstance(error, StoreLocked):
        return Exit.ERROR
    return Exit.REFUSED
