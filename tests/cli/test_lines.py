"""A file of jobs, through a service or past it."""

import json

from trio_jobs.cli.exits import Exit
from trio_jobs.cli.lines import PIECE, Lines

from .conftest import run

GOOD = '{"type":"noop","input":{"n":%d},"delay":3600,"queue":"%s"}\n'


def listed(ask, queue, place):
    return ask("ls", "--filter", f"queue={queue}", "-o", "id", "-n", "500", *place).stdout.split()


def test_a_file_of_jobs_is_enqueued_whatever_its_size(ask, place, tmp_path):
    queue = f"lines-{place[0]}"
    (tmp_path / "jobs.ndjson").write_text("".join(GOOD % (n, queue) for n in range(2_500)))
    done = ask("enqueue", "--file", "jobs.ndjson", *place)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["created"] == 2_500
    assert "2,500 enqueued" in done.stderr
    assert len(listed(ask, queue, place)) == 500


def test_bad_lines_are_named_and_the_good_ones_stay(ask, place, tmp_path):
    queue = f"bad-{place[0]}"
    lines = [GOOD % (1, queue), "{\n", "\n", '{"type":"nope"}\n', GOOD % (2, queue)]
    (tmp_path / "jobs.ndjson").write_text("".join(lines))
    done = ask("enqueue", "--file", "jobs.ndjson", *place)
    assert done.returncode == Exit.REFUSED
    assert "2 enqueued; 2 lines failed" in done.stderr
    assert "  line 2: " in done.stderr
    assert "  line 4: " in done.stderr
    assert [error["line"] for error in json.loads(done.stdout)["errors"]] == [2, 4]
    assert len(listed(ask, queue, place)) == 2


def test_lines_may_come_from_standard_input(place, tmp_path):
    queue = f"stdin-{place[0]}"
    done = run(tmp_path, "enqueue", "--file", "-", *place, stdin=GOOD % (1, queue))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["created"] == 1


def test_a_key_makes_a_second_try_harmless(ask, place, tmp_path):
    line = json.dumps({"type": "noop", "idempotency_key": f"again-{place[0]}"})
    (tmp_path / "jobs.ndjson").write_text(line)
    assert "1 enqueued" in ask("enqueue", "--file", "jobs.ndjson", *place).stderr
    assert (
        "0 enqueued; 1 were there already" in ask("enqueue", "--file", "jobs.ndjson", *place).stderr
    )


def test_how_far_a_file_is_is_told_piece_by_piece(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(
        "trio_jobs.cli.lines.ProgressBar.__call__", lambda bar, one: told.append(one)
    )
    (tmp_path / "jobs.ndjson").write_bytes(b"{}\n" * PIECE)
    with Lines(str(tmp_path / "jobs.ndjson")) as lines:
        assert b"".join(lines) == b"{}\n" * PIECE
    assert [one["scanned"] for one in told] == [1 / 3, 2 / 3, 1.0]
    assert told[-1]["done"] == PIECE
