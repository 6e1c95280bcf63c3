"""One connection to PostgreSQL that opens itself when it is needed. All of it blocks.

Calls go through libpq's own functions rather than through cursors: one of them gives up the GIL
once (a cursor several times, and getting it back may cost 5 ms while the event loop is busy;
DESIGN, the GIL convoy), and its arguments are texts that were made beforehand.
"""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ...errors import StoreError, Unavailable
from ...redaction import without_secrets
from .failures import Lost, jitter, meaning
from .nul import hidden, shown
from .watchdog import Watchdog

PATIENCE = 2.4
"""Seconds that a call may take before its connection is cut: a caller hears within 3."""

CONNECT = {
    "connect_timeout": "2",
    "application_name": "trio-jobs",
    "client_encoding": "utf8",
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "8000",
    "target_session_attrs": "read-write",
}
"""Unless the URL says otherwise."""

GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)
_INTEGERS = {20, 21, 23}  # int8, int2, int4
_FLOATS = {700, 701}
_BOOL = 16
_PLACE = re.compile(rb"\$(\d+)")


class Line:
    """`ask` and `execute` while it is up; within `used` it is.

    A try to connect that failed is not repeated for a moment, by chance a shorter or longer one:
    who waited behind it hears at once, and a server that comes back is not met by everybody.
    """

    def __init__(self, url: str, watchdog: Watchdog) -> None:
        self._url = url
        self._watchdog = watchdog
        self._connection: psycopg.Connection[Any] | None = None
        self._not_before = 0.0

    def open(self) -> None:
        """Raises Unavailable when nobody answers there, StoreError when we are not let in."""
        if self._connection is not None:
            return
        if time.monotonic() < self._not_before:
            raise Unavailable("the database cannot be reached")
        try:
            self._connection = psycopg.connect(conninfo(self._url), autocommit=True)
        except psycopg.Error as error:
            self.rest()
            raise _unreachable(error) from None
        self._pg = self._connection.pgconn
        self._pg.nonblocking = 0

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def rest(self) -> None:
        self._not_before = time.monotonic() + jitter(0.1, 0.5)

    @contextmanager
    def used(self, patience: float = PATIENCE) -> Iterator[None]:
        """Opens it if need be. Closed when it was lost inside, which raises Lost, or Unavailable
        when it took longer than `patience`."""
        self.open()
        try:
            with self._watchdog.limit(self._pg.socket, patience) as limit:
                yield
        except Lost as error:
            self.close()
            if limit.passed:
                self.rest()
                raise Unavailable(f"the database did not answer within {patience:.1f} s") from error
            raise

    def execute(self, sql: bytes) -> pq.abc.PGresult:
        """Statements without arguments, one or several; the result of the last."""
        return self._checked(self._pg.exec_(sql))

    def ask(self, sql: bytes, args: Sequence[Any]) -> pq.abc.PGresult:
        return self._checked(self._pg.exec_params(sql, [_text(arg) for arg in args]))

    def filled(self, sql: bytes, args: Sequence[Any]) -> bytes:
        """The statement with its arguments in it, to be executed together with others."""
        escape = pq.Escaping(self._pg).escape_literal
        texts = [_text(arg) for arg in args]

        def literal(place: re.Match[bytes]) -> bytes:
            text = texts[int(place[1]) - 1]
            return b"null" if text is None else bytes(escape(text))

        return _PLACE.sub(literal, sql)

    def roll_back(self) -> None:
        """After an error: the connection is fit for another transaction, or closed."""
        if self._connection is None:
            return
        try:
            self.execute(b"rollback")
        except Exception:
            self.close()

    def _checked(self, result: pq.abc.PGresult) -> pq.abc.PGresult:
        if result.status in GOOD:
            return result
        message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(
            "utf-8", "replace"
        )
        if self._pg.status != pq.ConnStatus.OK:
            raise Lost(message or self._pg.get_error_message().strip())
        sqlstate = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
        raise meaning(sqlstate, message)


def value(result: pq.abc.PGresult, column: int = 0) -> Any:
    """Of the first row; None when there is none."""
    if result.ntuples == 0:
        return None
    found = result.get_value(0, column)
    if found is None:
        return None
    kind = result.ftype(column)
    if kind in _INTEGERS:
        return int(found)
    if kind in _FLOATS:
        return float(found)
    return found == b"t" if kind == _BOOL else shown(found.decode())


def _text(arg: Any) -> bytes | None:
    if arg is None:
        return None
    if isinstance(arg, str):
        return hidden(arg).encode()
    if isinstance(arg, bool):
        return b"t" if arg else b"f"
    return repr(arg).encode()


def conninfo(url: str) -> str:
    """Raises StoreError for one that libpq does not understand."""
    try:
        return make_conninfo(
            url, **{k: v for k, v in CONNECT.items() if k not in conninfo_to_dict(url)}
        )
    except psycopg.Error as error:
        said = without_secrets(str(error).strip())
        raise StoreError(f"the database's URL is not valid: {said}") from None


def _unreachable(error: psycopg.Error) -> Exception:
    said = without_secrets(str(error).strip())
    sqlstate = getattr(error, "sqlstate", None) or ""
    if sqlstate.startswith(("28", "3D")) or "authentication failed" in said:
        return StoreError(f"the database does not let us in: {said}")
    return Unavailable(f"the database cannot be reached: {said}")
