"""A seed decides everything, no promise is broken, and a guard that is off is missed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "simulate.py"
FAST = (
    "only leases that ran out are rescued",
    "an idempotency key is kept",
    "a unique key is held",
    "a queue has its limit",
    "each attempt is recorded",
    "jobs are counted",
)
"""Guards that one of the first seeds misses."""


def simulate(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *options],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_seed_tells_the_same_story_in_every_process() -> None:
    one, other = (simulate("--seed", "7", PYTHONHASHSEED=seed) for seed in "12")
    assert one.stdout == other.stdout
    assert one.stdout.count("commits") > 30
    assert (one.returncode, one.stderr) == (0, "")
    assert simulate("--seed", "8").stdout != one.stdout


def test_no_promise_is_broken_in_some_worlds() -> None:
    some = simulate("--seeds", "20", "--first", "50")
    assert some.returncode == 0, some.stdout
    assert "no promise was broken" in some.stdout


@pytest.mark.parametrize("guard", FAST)
def test_a_guard_that_is_off_is_missed(guard: str) -> None:
    alone = simulate("--self-test", "--guard", guard)
    assert alone.returncode == 0, alone.stdout
    assert alone.stdout.startswith(f"{guard}  ")


def test_a_breach_is_told_and_fails() -> None:
    """What would be seen if a guard were missing for good."""
    broken = simulate("--without", "jobs are counted", "--seeds", "3")
    assert broken.returncode == 1
    assert "counted" in broken.stdout


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_each_guard_is_missed() -> None:
    all_of_them = simulate("--self-test")
    assert all_of_them.returncode == 0, all_of_them.stdout
