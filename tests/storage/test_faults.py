"""The test of test_histories.py: each of these faults in the store's SQL must be found by it."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from trio_jobs.storage import connection
from trio_jobs.storage.queries import load, script

from . import test_histories

PROCEDURES = {
    "a verdict without a lease is taken": (
        ("where j.lease_token = e.value ->> 1 and j.state = 'running'\n"
        "  on conflict do nothing;\n\n  insert into do_end_attempts"),
        "where j.state = 'running'\n  on conflict do nothing;\n\n  insert into do_end_attempts",
    ),
    "a report without a lease is taken": (
        ("where j.lease_token = e.value ->> 1 and j.state = 'running'\n"
        "  on conflict do nothing;\n\n  insert into logs"),
        "where j.state = 'running'\n  on conflict do nothing;\n\n  insert into logs",
    ),
    "a retry forgets a request to stop": (
        ("iif(j.cancel_requested_at is not null and e.value ->> 2 in ('queued', 'scheduled'),\n"
        "             'cancelled', e.value ->> 2)"),
        "e.value ->> 2",
    ),
    "a rescue forgets a request to stop": (
        "case when cancel_requested_at is not null then 'cancelled'\n              when",
        "case when",
    ),
    "a quarantine comes one crash late": (
        "when crashes + 1 >= new.crashes_allowed then 'failed'",
        "when crashes >= new.crashes_allowed then 'failed'",
    ),
    "a retry keeps the crashes": ("attempt = 0, crashes = 0,", "attempt = 0,"),
    "a retry keeps a passed deadline": (
        "deadline = iif(deadline <= new.now, null, deadline), ",
        "",
    ),
    "a retry keeps the request to stop": (" cancel_requested_at = null,\n", "\n"),
    "a retry ignores who holds the key": ("(holder is null and place = 1)", "place = 1"),
    "a retry takes no key": (
        "unique_until = iif(unique_key is null, null, coalesce(unique_until, 1e18))",
        "unique_until = unique_until",
    ),
    "the end keeps the key": (
        "where holds and state in ('done', 'failed', 'cancelled')",
        "where holds and state in ('failed', 'cancelled')",
    ),
    "a deadline keeps the key": ("unique_until = iif(unique_until >= 1e18, null, unique_until)",
                                 "unique_until = unique_until"),
    "a key that ran out is in the way of a retry": (
        "where unique_until <= new.now and (type, unique_key) in (",
        "where 0 and (type, unique_key) in (",
    ),
    "a poisoned job keeps its key": (
        "select seq, queue, 'running', unique_until is not null,\n",
        "select seq, queue, 'running', 0,\n",
    ),
    "a suspect is not counted for its queue": (
        ("iif(share = '*', m.queue not in (select key from json_each(new.queues)),\n"
        "                          m.queue = share)"),
        "0",
    ),
    "a suspect ignores a pause": (
        "and queue in (select queue from ready_queues)\n    and (new.queues is null",
        "and (new.queues is null",
    ),
    "a limit of a queue is not heeded": ("where room > 0;", ";"),
    "a limit is not heeded among queues": ("where nth <= room\n", "\n"),
    "a limit is not heeded in a lone queue": (
        "coalesce((select room from ready_queues), 0),\n",
        "new.n,\n",
    ),
    "a job that changes its queue is counted in the old one": (
        "coalesce(to_queue, queue), state, 1",
        "queue, state, 1",
    ),
    "a request to stop is told each time": (
        "where j.state = 'running' and j.cancel_requested_at is null;",
        "where j.state = 'running';",
    ),
    "a change ignores the version": (
        "and (e.value ->> 1 is null or j.version = e.value ->> 1)\n",
        "\n",
    ),
    "lines are numbered anew": (
        "(select coalesce(max(l.n), 0) from logs as l where l.seq = j.seq)",
        "0",
    ),
    "a replacement leaves the payload": (
        "set body = coalesce(e.value ->> 1, unhex(e.value ->> 2)), content_type",
        "set content_type",
    ),
}  # fmt: skip
QUERIES = {
    "a prune ignores keys": ("prunable", "(j.unique_until is null or j.unique_until <= ?3)", "1"),
    "a prune ignores the rule of a type": (
        "prunable",
        "own.value ->> 0 = t.type and own.value ->> 1 = r.value ->> 1",
        "0",
    ),
    "a lost lease is extended": (
        "extend",
        "jobs.lease_token = e.value ->> 1 and jobs.state = 'running'",
        "jobs.state = 'running'",
    ),
}
HISTORIES = 1_000
"""Most of them are found in the first 50."""


def assert_found() -> None:
    """The fault that is in place lets a service start, and some history fail."""

    @settings(
        max_examples=HISTORIES,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(test_histories.histories)
    def look(history: Any) -> None:
        test_histories.lived(history)

    test_histories.lived([])
    with pytest.raises(ExceptionGroup):
        look()


@pytest.mark.slow
@pytest.mark.parametrize("fault", PROCEDURES)
def test_a_procedure_with_a_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right, wrong = PROCEDURES[fault]
    text = script("sqlite_procedures.sql")
    assert right in text
    monkeypatch.setattr(connection, "script", lambda _: text.replace(right, wrong))
    assert_found()


@pytest.mark.slow
@pytest.mark.parametrize("fault", QUERIES)
def test_a_query_with_a_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, right, wrong = QUERIES[fault]
    sql = load("sqlite.sql")
    assert right in sql[name]
    monkeypatch.setitem(sql, name, sql[name].replace(right, wrong))
    assert_found()
