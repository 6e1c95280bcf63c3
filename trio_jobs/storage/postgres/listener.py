"""Tells other processes that there is news, and hears theirs: LISTEN and NOTIFY.

Both on one connection of its own, natively on Trio: no thread waits for it. It is a hint, never a
promise; a poll always runs beneath it. While it is down, polls serve; when it is up again, every
bell rings once, since something may have been missed.

A NOTIFY takes a lock of the whole server at its commit. So it is not part of the transactions it
tells of, and a process sends one at most each MOMENT, whatever has happened meanwhile.
"""

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import psycopg
import trio
from psycopg import pq

from ...errors import StoreError, Unavailable
from ..doorbell import CANCELS, CHANGES, JOBS, Doorbell
from ..threads import RunSync
from .failures import Lost, jitter
from .line import conninfo, value
from .server import PostgresServer

log = logging.getLogger(__name__)

MOMENT = 0.015
KEEP_ALIVE = 5.0
PATIENCE = 2.4  # seconds that an answer may take
AGAIN = 0.5
PROCESS = b"select pg_backend_pid()"
"""Another one than the server's greeting said: a pooler gives us one after the other. To listen
there would fill the socket of whoever gets it next with our news."""
CHANNEL = b"select 'trio_jobs_' || left(md5(current_schema()), 8)"


class Listener:
    """`run` until cancelled; `tell(news)` at any time. `heard(news)` gets that of others."""

    def __init__(
        self, server: PostgresServer, run_sync: RunSync, heard: Callable[[str], None]
    ) -> None:
        self._server = server
        self._run_sync = run_sync
        self._heard = heard
        self._me = secrets.token_hex(4)
        self._news: set[str] = set()
        self._bell = Doorbell()
        self.connected = False  # for those who look

    def tell(self, news: str) -> None:
        if news:
            self._news.update(news)
            self._bell.ring()

    async def run(self) -> None:
        said = False
        while True:
            try:
                connection = await self._run_sync(self._connect)
            except (psycopg.Error, Unavailable, StoreError) as error:
                if not said:
                    log.warning("cannot listen for news of other processes: %s", error)
                said = True
            else:
                said = False
                await self._serve(connection)
            await trio.sleep(jitter(AGAIN, 2 * AGAIN))

    def _connect(self) -> "psycopg.Connection[Any]":
        """In a thread. It listens already."""
        connection = psycopg.connect(conninfo(self._server.url), autocommit=True)
        try:
            connection.pgconn.nonblocking = 0
            self._channel: str = value(connection.pgconn.exec_(CHANNEL))
            if value(connection.pgconn.exec_(PROCESS)) == connection.pgconn.backend_pid:
                connection.execute(f'listen "{self._channel}"')
            else:
                log.info("a pooler is before the database: news of other processes are polled for")
            connection.pgconn.nonblocking = 1
        except BaseException:
            connection.close()
            raise
        return connection

    async def _serve(self, connection: "psycopg.Connection[Any]") -> None:
        """Until the connection is lost."""
        conversation = Conversation(connection.pgconn, self._notified)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(conversation.read)
                nursery.start_soon(self._keep_alive, conversation)
                nursery.start_soon(self._send, conversation)
                self.connected = True
                self._heard(JOBS + CANCELS + CHANGES)
        except* (Lost, psycopg.Error) as group:
            log.warning("lost the connection that listens, opening another: %s", _first(group))
        finally:
            self.connected = False
            connection.close()

    def _notified(self, payload: str) -> None:
        sender, _, news = payload.partition(" ")
        if sender != self._me:
            self._heard(news)

    async def _keep_alive(self, conversation: "Conversation") -> None:
        """Notices a connection that is dead, and how late it is by the way."""
        while True:
            asked = time.monotonic()
            shown = value(await conversation.ask(self._server.statements.sql("clock"), ()))
            self._server.clock.measured(asked, shown, time.monotonic())
            await trio.sleep(KEEP_ALIVE)

    async def _send(self, conversation: "Conversation") -> None:
        sql = self._server.statements.sql("notify")
        while True:
            await self._bell.wait()
            if not self._news:
                continue
            news, self._news = "".join(sorted(self._news)), set()
            try:
                await conversation.ask(sql, (self._channel, f"{self._me} {news}"))
            except BaseException:
                self._news.update(news)  # for the next connection
                self._bell.ring()
                raise
            await trio.sleep(MOMENT)


class Conversation:
    """Questions and notifications on one connection, while `read` runs. Raises Lost."""

    def __init__(self, pg: pq.abc.PGconn, notified: Callable[[str], None]) -> None:
        self._pg = pg
        self._notified = notified
        self._turn = trio.Lock()
        self._answered = trio.Event()
        self._result: pq.abc.PGresult | None = None

    async def ask(self, sql: bytes, args: Sequence[str]) -> pq.abc.PGresult:
        async with self._turn:
            self._answered, self._result = trio.Event(), None
            with trio.move_on_after(PATIENCE):
                self._pg.send_query_params(sql, [arg.encode() for arg in args])
                while self._pg.flush():
                    await trio.lowlevel.wait_writable(self._pg.socket)
                await self._answered.wait()
            result = cast("pq.abc.PGresult | None", self._result)
            if result is None:
                raise Lost("it does not answer")
            if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
                raise Lost(result.get_error_message().strip())
            return result

    async def read(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._pg.socket)
            self._pg.consume_input()
            while (notification := self._pg.notifies()) is not None:
                self._notified(notification.extra.decode())
            while not self._answered.is_set() and not self._pg.is_busy():
                result = self._pg.get_result()
                if result is None:
                    self._answered.set()
                else:
                    self._result = result


def _first(group: BaseExceptionGroup[Exception]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
