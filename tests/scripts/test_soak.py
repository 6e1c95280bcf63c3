"""The soak's judge finds whatever it is there to find."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts.soaking.ledger import Ledger
from scripts.soaking.samples import Sample
from scripts.soaking.verdict import FLAT, Verdict, judge

SOAK = Path(__file__).parents[2] / "scripts/soak.py"
SAMPLE = Sample(0.0, 100.0, 40, 10, 150, 20.0, 50.0, 3, 200.0, [1.0] * 99 + [400.0])
FLAT_HOUR = [replace(SAMPLE, at=float(second)) for second in range(300)]


def verdict(
    samples: list[Sample] = FLAT_HOUR,
    ledger: Ledger | None = None,
    unended: tuple[str, ...] = (),
    exits: tuple[int, ...] = (0, 0),
    errors: tuple[str, ...] = (),
    **answers: int,
) -> Verdict:
    counted = Counter({name.replace("_", " "): count for name, count in answers.items()})
    return judge(samples, ledger or Ledger(), counted, list(unended), list(exits), list(errors))


def test_all_is_well_and_one_late_wakening_in_a_hundred_is_forgiven() -> None:
    found = verdict([replace(one, lags_ms=[1.0] * 200 + [400.0]) for one in FLAT_HOUR], post_201=9)
    assert (found.faults, found.lag_p99_ms, found.lag_max_ms) == ([], 1.0, 400.0)


@pytest.mark.parametrize("measure", FLAT, ids=lambda measure: measure.name)
def test_each_measure_that_grows_by_more_than_a_tenth_is_named(measure: object) -> None:
    name, title, slack, _ = measure  # type: ignore[misc]
    grown = 1.25 * getattr(SAMPLE, name) + slack
    late = [replace(one, **{name: grown}) for one in FLAT_HOUR[150:]]
    assert verdict([*FLAT_HOUR[:150], *late]).faults[0] == f"{title}: it grows"


def test_the_warm_up_does_not_count() -> None:
    cold = [replace(one, memory_mb=10.0) for one in FLAT_HOUR[:30]]
    assert all(growth.is_flat for growth in verdict([*cold, *FLAT_HOUR[30:]]).growths)


def test_a_loop_that_is_late_twice_in_a_hundred_lags() -> None:
    lagging = [replace(one, lags_ms=[1.0] * 98 + [26.0] * 2) for one in FLAT_HOUR]
    assert verdict(lagging).faults == ["the event loop lags: p99 26.0 ms"]


def test_jobs_and_answers_are_held_against_what_was_promised() -> None:
    calm = [replace(SAMPLE, lags_ms=[1.0])]
    ledger = Ledger()
    for id_ in ("a", "b", "c"):
        ledger.acknowledge(id_, "noop")
    ledger.end("a", "noop", "done")
    assert verdict(calm, ledger).faults == []
    ledger.end("b", "noop", "failed")
    ledger.lose("c")
    assert len(verdict(calm, ledger).faults) == 2
    assert len(verdict(calm, unended=("d (noop)",)).faults) == 1
    assert len(verdict(calm, exits=(0, -9)).faults) == 1
    assert verdict(calm, errors=("backup: no",)).faults == ["backup: no"]
    assert len(verdict(calm, post_500=1, read_200=1_000).faults) == 1
    assert len(verdict(calm, post_422=1).faults) == 1
    assert verdict(calm, bad_422=5, read_404=5, post_503=1, post_201=1_000).faults == []


def test_an_end_may_be_told_before_its_promise_was_read() -> None:
    ledger = Ledger()
    ledger.end("a", "hang", "failed")
    ledger.acknowledge("a", "hang")
    assert (ledger.open, ledger.wrong, ledger.acknowledged) == ({}, [], 1)


@pytest.mark.slow
def test_a_leak_is_found_and_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "soak.svg"
    done = subprocess.run(
        [sys.executable, str(SOAK), "--self-test", "--svg", str(picture)],
        capture_output=True,
        text=True,
        timeout=55,
        env=os.environ,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "memory, MB: it grows" in done.stdout
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
