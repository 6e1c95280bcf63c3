"""`trio-jobs workers`: those elsewhere are seen and told what to do, in both places."""

import json

import pytest

from trio_jobs.cli.exits import Exit


@pytest.fixture
def elsewhere(service):
    """A worker that has asked for jobs, and its name."""
    wish = {"worker": "host/7", "types": ["resize"]}
    assert service.http.post("/worker/claim", json=wish).status_code == 200
    yield "host/7"
    service.http.post("/workers/run", json={"workers": ["host/7"]})


def listed(ask, place):
    rows = [json.loads(line) for line in ask("workers", *place).stdout.splitlines()]
    return {row["name"]: row for row in rows if "name" in row}


def test_workers_elsewhere_are_listed_and_told(ask, place, elsewhere):
    assert listed(ask, place)[elsewhere]["types"] == ["resize"]
    for directive in ("quiet", "stop", "run"):
        done = ask("workers", directive, elsewhere, *place)
        assert json.loads(done.stdout) == {"name": elsewhere, "directive": directive}
        assert listed(ask, place)[elsewhere]["directive"] == directive


def test_a_table_has_a_line_for_each(ask, place, elsewhere):
    table = ask("workers", *place, "-o", "table").stdout.splitlines()
    [line] = [line for line in table if elsewhere in line]
    assert {"0", "resize", "run"} < set(line.split())


def test_who_is_meant_must_be_said_and_be_there(ask, place):
    assert ask("workers", "stop", *place).returncode == Exit.USAGE
    done = ask("workers", "stop", "nobody", *place)
    assert (done.returncode, "nobody" in done.stderr) == (Exit.NOT_FOUND, True)
