"""The measurement is kept alive; its numbers are another machine's business."""

import json

from trio_jobs.cli.exits import Exit


def test_it_measures_and_leaves_nothing_behind(ask, tmp_path):
    done = ask("bench", "--jobs", "150", "--concurrency", "4")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["what"].split()[0], row["jobs"]) for row in rows] == [
        *(("enqueue", 15), ("enqueue", 150), ("enqueue", 150)),
        ("run", 150),
    ]
    assert all(row["per_second"] > 0 for row in rows)
    assert "durability full, 4 jobs at a time" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_it_needs_a_place_for_its_database(ask):
    done = ask("bench", "--jobs", "100", "--database", "sqlite:///none/x.db")
    assert done.returncode == Exit.ERROR
    assert "none" in done.stderr
    assert ask("bench", "--jobs", "1000000").returncode == Exit.USAGE
