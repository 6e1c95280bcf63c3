"""Times on their way out and in."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_jobs.clock import from_rfc3339, to_rfc3339

moments = st.floats(0, 253_402_300_799)


def test_a_moment_looks_as_documented() -> None:
    assert to_rfc3339(1764000000.25) == "2025-11-24T16:00:00.250000Z"


@given(moments)
def test_no_moment_is_lost_on_the_way_out_and_back(seconds: float) -> None:
    assert abs(from_rfc3339(to_rfc3339(seconds)) - seconds) <= 1e-6 + seconds * 1e-15


@given(moments, moments)
def test_the_text_sorts_as_the_time_does(one: float, other: float) -> None:
    if one <= other:
        assert to_rfc3339(one) <= to_rfc3339(other)


@given(st.floats(0, 4e9))
def test_it_is_the_same_moment_that_the_standard_library_writes(seconds: float) -> None:
    micros = round(seconds * 1e6)
    whole = datetime.fromtimestamp(micros // 1_000_000, UTC).replace(microsecond=micros % 1_000_000)
    assert to_rfc3339(seconds) == whole.isoformat(timespec="microseconds")[:-6] + "Z"


def test_a_second_is_never_written_as_60_or_without_its_carry() -> None:
    assert to_rfc3339(1764000000.9999999) == "2025-11-24T16:00:01.000000Z"


@pytest.mark.parametrize(
    "text", ["2025-11-24T18:00:00+02:00", "2025-11-24T16:00:00Z", "2025-11-24T11:30:00-04:30"]
)
def test_any_offset_is_understood(text: str) -> None:
    assert from_rfc3339(text) == 1764000000.0


@pytest.mark.parametrize(
    "text", ["2025-11-24T16:00:00", "2025-11-24", "tomorrow", "", "2025-13-01T00:00:00Z", "\ud800"]
)
def test_a_time_that_could_mean_several_moments_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_rfc3339(text)


@given(st.text(max_size=40))
def test_whatever_is_sent_as_a_time_costs_a_value_error_at_most(text: str) -> None:
    with suppress(ValueError):
        from_rfc3339(text)
