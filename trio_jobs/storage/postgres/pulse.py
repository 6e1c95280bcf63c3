"""The heartbeat's own connection to PostgreSQL."""

from collections.abc import Sequence

from ...errors import Unavailable
from ..records import Lease
from ..writes import extend
from .failures import Again, Lost
from .line import Line
from .session import PostgresSession
from .statements import Statements


class PostgresPulse:
    """See `storage.base.Pulse`."""

    def __init__(self, line: Line, statements: Statements) -> None:
        self._line = line
        self._statements = statements

    def extend(self, leases: Sequence[Lease], expires_at: float) -> set[str]:
        try:
            with self._line.used():
                # A beat that a power cut undoes is not missed.
                session = PostgresSession(self._line, self._statements, durable=False, shard=0)
                held = extend(session, leases, expires_at)
                session.commit()
        except (Lost, Again) as error:
            self._line.roll_back()
            raise Unavailable(f"the database went away: {error}") from error
        except BaseException:
            self._line.roll_back()
            raise
        return held

    def close(self) -> None:
        self._line.close()
