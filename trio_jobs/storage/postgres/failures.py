"""What PostgreSQL's refusals mean."""

import random

from ...errors import StoreBroken, StoreError, TrioJobsError, Unavailable


class Lost(Exception):
    """The connection is gone, and with it whatever transaction it had."""


class Again(Exception):
    """The transaction was undone because another one was in its way; it may succeed if repeated.

    `refusal` is what to raise if it does not.
    """

    def __init__(self, refusal: TrioJobsError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def jitter(least: float, most: float) -> float:
    """So that those who were in each other's way do not meet again."""
    return random.uniform(least, most)  # noqa: S311 - nothing to guess


CONCURRENCY = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "23505",  # unique_violation: two at the same moment; alone, our statements see what is there
    "42P06",  # duplicate_schema, and
    "42P07",  # duplicate_table: two that migrate
    "XX000",  # internal_error: "tuple concurrently updated", of two that migrate
}
GOING = {
    "57P01",  # admin_shutdown
    "57P02",  # crash_shutdown
    "57P03",  # cannot_connect_now
    "57P05",  # idle_session_timeout
    "25P03",  # idle_in_transaction_session_timeout
    "25006",  # read_only_sql_transaction: it was the primary, and is a standby now
}
BUSY = {
    "55P03",  # lock_not_available: lock_timeout
    "57014",  # query_canceled: statement_timeout
    "57P04",  # database_dropped: somebody restores it, or we shall see at the next connection
}
GONE = {
    "42P01",  # undefined_table
    "42703",  # undefined_column
    "3F000",  # invalid_schema_name
}


def meaning(sqlstate: str, message: str) -> Exception:
    """The exception to raise for an error of the server's."""
    if sqlstate in CONCURRENCY:
        return Again(_ours(sqlstate, message))
    if sqlstate in GOING or sqlstate.startswith("08"):
        return Lost(message)
    return _ours(sqlstate, message)


def _ours(sqlstate: str, message: str) -> TrioJobsError:
    if sqlstate == "53100":
        return Unavailable(f"the disk of the database is full: {message}", retry_after=5.0)
    if sqlstate in BUSY or sqlstate.startswith(("40", "53")):
        return Unavailable(f"the database is busy: {message}")
    if sqlstate.startswith("58"):  # system_error, io_error: of the server, which decides for itself
        return Unavailable(f"the database has failed: {message}", retry_after=5.0)
    if sqlstate in GONE:
        return StoreBroken(f"the database is not what it was: {message}")
    if sqlstate in ("XX001", "XX002"):
        return StoreBroken(f"the database is damaged: {message}")
    return StoreError(f"the database refuses: {message} ({sqlstate})")
