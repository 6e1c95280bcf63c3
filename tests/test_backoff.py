"""Waits between attempts: never too long, never all at the same time."""

import math
from typing import Any

import pytest
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


@given(st.integers(1, 10**6), st.sampled_from([1.0, 2.0, 50.0, 1000]), dice)
def test_a_curve_too_steep_for_floats_is_capped_instead_of_ending_the_worker(
    attempt: int, factor: float, uniform: float
) -> None:
    wait = Backoff("exponential", 5.0, factor, cap=60.0).seconds(attempt, uniform)
    assert math.isfinite(wait)
    assert 0 < wait <= 60


@pytest.mark.parametrize(
    ("wish", "waits"),
    [
        ("exponential", [5, 10, 20, 40]),
        ("linear", [30, 60, 90, 120]),
        ("fixed", [30, 30, 30, 30]),
        ("power", [16, 31, 96, 271]),
        ([1, 5], [1, 5, 5, 5]),
        ({"kind": "exponential", "base": 2, "factor": 3, "cap": 10}, [2, 6, 10, 10]),
        ({"delays": [7], "jitter": 0}, [7, 7, 7, 7]),
    ],
)
def test_a_job_waits_as_it_asked_to(wish: Any, waits: list[float]) -> None:
    backoff = Backoff.of(wish)
    assert [backoff.seconds(n, 0.5) for n in range(1, 5)] == waits


@pytest.mark.parametrize(
    "wish",
    [
        None, 5, True, "quick", [], ["1"], [-1], [float("nan")], [1] * 101, {"kind": "list"},
        {"kind": 1}, {"base": "5"}, {"base": -1}, {"factor": 0}, {"jitter": 2}, {"cap": True},
        {"delays": [1], "kind": "fixed"}, {"speed": 1}, {"base": float("inf")},
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_a_sentence_when_the_job_comes(wish: Any) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        Backoff.of(wish)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=5), st.integers(1, 10**6), dice)
def test_a_list_is_followed_to_the_letter(delays: list[float], n: int, uniform: float) -> None:
    assert Backoff.of(delays).seconds(n, uniform) == delays[min(n, len(delays)) - 1]
