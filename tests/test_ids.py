"""Ids: in the order of age, whatever the clock does, and never twice."""

import time
import uuid

import pytest

from trio_jobs.ids import JobIds, is_job_id


def test_ids_are_version_7_uuids_of_this_moment() -> None:
    before = time.time_ns() // 1_000_000
    parsed = uuid.UUID(JobIds().new())
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert before <= parsed.int >> 80 <= time.time_ns() // 1_000_000


def test_a_burst_is_in_order_and_without_twins() -> None:
    ids = JobIds()
    burst = [ids.new() for _ in range(20_000)]
    assert burst == sorted(set(burst))


def test_a_clock_that_steps_back_does_not_turn_the_order_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = JobIds()
    clock = iter([5_000, 5_001, 1_000, 4_999, 5_001, 5_002])
    monkeypatch.setattr(time, "time_ns", lambda: next(clock) * 1_000_000)
    made = [ids.new() for _ in range(6)]
    assert made == sorted(set(made))


def test_a_full_counter_is_carried_into_the_time_instead_of_the_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = JobIds()
    monkeypatch.setattr(time, "time_ns", lambda: 5_000 * 1_000_000)
    first = ids.new()
    ids._last |= (1 << 42) - 1  # 4 * 10^12 ids later
    second = uuid.UUID(ids.new())
    assert str(second) > first
    assert (second.version, second.variant, second.int >> 80) == (7, uuid.RFC_4122, 5_001)


def test_two_processes_do_not_make_the_same_id() -> None:
    one, other = JobIds(), JobIds()
    made = [ids.new() for _ in range(2_000) for ids in (one, other)]
    assert len(set(made)) == len(made)


def test_ids_are_recognised() -> None:
    assert is_job_id(JobIds().new())
    assert is_job_id("0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0190B8C3-7D1E-7B2A-9A3C-5E1F0A2B3C4D",
        "0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4",
        "0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d\n",
        "0190b8c37d1e7b2a9a3c5e1f0a2b3c4d",
        "0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4g",
        "0190b8c3-7d1e-7b2a-9a3c--e1f0a2b3c4d",
        "\u0660190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d",
        "{190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4}",
        "0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b\ud800c4d",
        "' or 1=1 --",
    ],
)
def test_nothing_else_passes_for_an_id(text: str) -> None:
    assert not is_job_id(text)
