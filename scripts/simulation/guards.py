"""What keeps the promises, each to be switched off: the law must notice."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest.mock import patch

import outcome

from trio_jobs.errors import Unavailable
from trio_jobs.service import desk
from trio_jobs.storage import batcher, connection
from trio_jobs.storage.queries import load, script


@contextmanager
def _procedure(guarded: str, unguarded: str) -> Iterator[None]:
    """The procedures of SQLite with other words in one place."""

    def changed(filename: str) -> str:
        return _changed(script(filename), guarded, unguarded)

    with patch.object(connection, "script", changed):
        yield


@contextmanager
def _query(name: str, guarded: str, unguarded: str) -> Iterator[None]:
    queries = load("sqlite.sql")
    with patch.dict(queries, {name: _changed(queries[name], guarded, unguarded)}):
        yield


def _changed(sql: str, guarded: str, unguarded: str) -> str:
    if guarded not in sql:
        raise ValueError(f"the guard is not where it was: {guarded}")
    return sql.replace(guarded, unguarded)


def _refused() -> outcome.Error:
    return outcome.Error(Unavailable("the store stopped"))


GUARDS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "a completion needs the current lease": lambda: _procedure(
        "where j.lease_token = e.value ->> 1 and j.state = 'running'\n"
        "  on conflict do nothing;\n\n  insert into do_end_attempts",
        "where j.state = 'running'\n  on conflict do nothing;\n\n  insert into do_end_attempts",
    ),
    "a report needs the current lease": lambda: _procedure(
        "where j.lease_token = e.value ->> 1 and j.state = 'running'\n"
        "  on conflict do nothing;\n\n  insert into logs",
        "where j.state = 'running'\n  on conflict do nothing;\n\n  insert into logs",
    ),
    "a heartbeat needs the current lease": lambda: _query(
        "extend", "and jobs.lease_token = e.value ->> 1", ""
    ),
    "a heartbeat tells of leases that are lost": lambda: _query(
        "extend_answer", "j.lease_token = e.value ->> 1 and", ""
    ),
    "only leases that ran out are rescued": lambda: _procedure(
        "lease_expires_at <= new.now", "true"
    ),
    "jobs of the living are left alone": lambda: _procedure(
        "worker not in (select value from json_each(new.living))", "true"
    ),
    "jobs of the dead are rescued": lambda: _procedure(
        "where state = 'running'\n    and (", "where state = 'running' and false and ("
    ),
    "the third crash of a job is its last": lambda: _procedure(
        "when crashes + 1 >= new.crashes_allowed then 'failed'", ""
    ),
    "an idempotency key is kept": lambda: _query("keep_keys", "where true", "where false"),
    "a commit without an answer is no refusal": lambda: patch.object(batcher, "_cut_off", _refused),
    "what is stored is no refusal": lambda: patch.object(desk, "Uncertain", Unavailable),
    "a unique key is held": lambda: _procedure(
        "and jobs.unique_until is not null and jobs.unique_until <= e.value ->> 8", ""
    ),
    "a queue has its limit": lambda: _procedure("iif(q.most is null, 9", "iif(true, 9"),
    "a wish to cancel outlives the attempt": lambda: _procedure(
        "iif(j.cancel_requested_at is not null and", "iif(false and"
    ),
    "only what has ended is retried": lambda: _procedure(
        "where j.state in ('done', 'failed', 'cancelled')\n    group by", "where true\n    group by"
    ),
    "each attempt is recorded": lambda: _procedure(
        "where m.state <> 'done';", "where m.state = 'failed';"
    ),
    "jobs are counted": lambda: _procedure(
        "-n as n from steps", "-n * (was <> 'running') as n from steps"
    ),
}
"""Each has a name that says what holds while it is on."""
