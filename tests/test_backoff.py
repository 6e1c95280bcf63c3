"""Waits between attempts: never too long, never all at the same time."""

import math

from hypothesis import given
from hypothesis import strategies as st

from trio_jobs.backoff import DAY, Backoff

dice = st.floats(0, 1, exclude_max=True)


def test_the_documented_series() -> None:
    waits = [Backoff(jitter=0).seconds(attempt) for attempt in range(1, 6)]
    assert waits == [16, 31, 96, 271, 640]


@given(st.integers(0, 10**9), dice)
def test_the_cap_holds_whatever_the_attempt_and_the_dice(attempt: int, uniform: float) -> None:
    assert 0 < Backoff().seconds(attempt, uniform) <= DAY


@given(st.integers(1, 16), dice)
def test_jitter_stays_within_its_fraction(attempt: int, uniform: float) -> None:
    plain = 15 + attempt**4
    assert plain * 0.9 <= Backoff().seconds(attempt, uniform) <= plain * 1.1


def test_jobs_that_failed_together_do_not_come_back_together() -> None:
    waits = {Backoff().seconds(3) for _ in range(100)}
    assert len(waits) > 50


@given(st.integers(1, 10**6), st.sampled_from([0.0, 1.0, 50.0, 400.0, 400]), dice)
def test_a_curve_too_steep_for_floats_is_capped_instead_of_ending_the_worker(
    attempt: int, power: float, uniform: float
) -> None:
    wait = Backoff(power=power, cap=60.0).seconds(attempt, uniform)
    assert math.isfinite(wait)
    assert 0 < wait <= 60
