"""The audit's judge finds whatever it is there to find."""

from pathlib import Path
from typing import Any

import pytest

from scripts.auditing.producer import Ledger
from scripts.auditing.verdict import Execution, Verdict, executions, judge

DONE = {"status": "done", "reason": None, "output": 1, "attempt": 1}
POISON = {"status": "failed", "reason": "poison", "attempt": 0}
RAN = [Execution("begin", "a", 1, 7, 10.0), Execution("end", "a", 1, 7, 11.0)]


def verdict(
    stored: dict[str, Any], ran: list[Execution] = RAN, kills: tuple[float, ...] = ()
) -> Verdict:
    return judge(Ledger({"k"}, {"k": "a"}), stored, ran, list(kills))


def test_all_is_well() -> None:
    assert verdict({"a": DONE}).is_clean


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        ({}, "lost"),
        ({"a": DONE | {"status": "failed"}}, "lost"),
        ({"a": DONE, "b": DONE}, "doubled"),
        ({"a": DONE | {"output": 2}}, "stale"),
    ],
)
def test_what_the_service_shows_is_held_against_the_ledger(
    stored: dict[str, Any], kind: str
) -> None:
    found = verdict(stored)
    assert not found.is_clean
    assert len(getattr(found, kind)) == 1


def test_a_second_run_needs_a_kill_and_counts_from_it() -> None:
    again = [RAN[0], Execution("begin", "a", 1, 8, 14.0), Execution("end", "a", 1, 8, 15.0)]
    assert verdict({"a": DONE}, again).unexplained == ["a"]
    killed = verdict({"a": DONE}, again, kills=(12.0,))
    assert (killed.is_clean, killed.again, killed.gaps) == (True, 1, [2.0])


def test_a_job_is_quarantined_after_three_kills_and_not_before() -> None:
    assert verdict({"a": POISON}, kills=(10.1, 12.0)).unexplained == ["a"]
    hit = verdict({"a": POISON}, kills=(10.1, 12.0, 14.0))
    assert (hit.is_clean, hit.quarantined) == (True, 1)


def test_executions_are_read_as_handlers_write_them(tmp_path: Path) -> None:
    (tmp_path / "executions").write_text("begin a 1 7 10.0\nend a 1 7 11.0\n")
    assert executions(tmp_path / "executions") == RAN
