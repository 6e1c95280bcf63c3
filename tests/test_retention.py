"""How long finished jobs are kept: what the rules say, and nothing else."""

from math import inf

import pytest

from trio_jobs.job import State
from trio_jobs.retention import Retention

HOUR, DAY = 3_600.0, 86_400.0


def test_without_rules_failures_stay_a_week_and_all_else_a_day() -> None:
    kept = {state: Retention().seconds("any", state) for state in State if state.final}
    assert kept == {State.DONE: DAY, State.CANCELLED: DAY, State.FAILED: 7 * DAY}


def test_a_rule_for_a_type_goes_before_the_rule_for_its_state() -> None:
    kept = Retention(["done=2h", "mail.v2.done=forever", "noop.done=0"])
    assert kept.seconds("any", State.DONE) == 2 * HOUR
    assert kept.seconds("mail.v2", State.DONE) == inf
    assert kept.seconds("noop", State.DONE) == 0
    assert kept.seconds("noop", State.FAILED) == 7 * DAY
    assert kept.shortest == 0


def test_what_is_kept_for_ever_has_a_cutoff_that_nothing_reaches() -> None:
    cutoffs = Retention(["failed=forever", "noop.done=90"]).cutoffs(1_000_000.0)
    assert (None, State.FAILED, -1.0) in cutoffs
    assert ("noop", State.DONE, 1_000_000.0 - 90) in cutoffs


@pytest.mark.parametrize(
    "rule", ["done", "=5", "running=5", "done=", "done=soon", "done=-1", "x.y=5", "done=nan"]
)
def test_a_rule_that_means_nothing_is_refused_by_name(rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Retention([rule])
