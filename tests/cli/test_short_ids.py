"""Ids as people copy them."""

import json

import pytest

from trio_jobs.cli.exits import Exit
from trio_jobs.cli.short_ids import MOST_CANDIDATES, full_id, full_ids, short

FIRST = "01a20c60-4e0f-7002-baaa-e48ca591f707"
SECOND = "01a20c60-4e0f-7003-baaa-e48ca591aaaa"
THIRD = "01a20c60-4e0f-7004-baaa-e48c1111aaaa"


class Newest:
    """A place with these jobs."""

    def __init__(self, *ids):
        self.ids = list(ids)
        self.asked = 0

    def newest(self, most):
        self.asked += 1
        return self.ids[:most]


@pytest.fixture
def jobs():
    return Newest(FIRST, SECOND, THIRD)


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        (short(FIRST), FIRST),
        ("f707", FIRST),
        ("F707", FIRST),
        ("e48ca591f707", FIRST),
        ("baaa-e48ca591f707", FIRST),
        ("a591aaaa", SECOND),
        ("01a20c60-4e0f-7004", THIRD),
        ("01a20c604e0f7004baaae48c1111aaaa", THIRD),
        (FIRST, FIRST),
    ],
)
def test_the_digits_at_either_end_stand_for_the_id(jobs, text, id_):
    assert full_id(jobs, text) == id_


@pytest.mark.parametrize("text", ["7", "707", "xyz1", "f707.", "", "../x", FIRST + "0"])
def test_what_is_no_part_of_an_id_is_left_to_the_queue_to_refuse(jobs, text):
    assert full_id(jobs, text) == text
    assert jobs.asked == 0


def test_a_whole_id_asks_nobody_and_several_short_ones_ask_once(jobs):
    full_ids(jobs, [FIRST, SECOND])
    assert jobs.asked == 0
    assert full_ids(jobs, ["f707", "1111aaaa"]) == [FIRST, THIRD]
    assert jobs.asked == 1


def test_more_than_one_is_exit_2_with_the_candidates_and_none_is_exit_4(jobs, capsys):
    with pytest.raises(SystemExit) as ended:
        full_id(jobs, "aaaa")
    assert ended.value.code == Exit.USAGE
    said = capsys.readouterr().err
    assert SECOND in said
    assert THIRD in said
    assert FIRST not in said
    with pytest.raises(SystemExit) as ended:
        full_id(jobs, "beef")
    assert ended.value.code == Exit.NOT_FOUND


def test_a_thousand_candidates_are_not_all_told(capsys):
    with pytest.raises(SystemExit):
        full_id(Newest(*[FIRST] * 1_000), "01a2")
    assert len(capsys.readouterr().err.splitlines()) == MOST_CANDIDATES + 2


@pytest.mark.parametrize("command", ["show", "why", "logs", "cancel", "retry", "rm", "result"])
def test_every_command_with_an_id_takes_a_short_one(ask, place, service, command):
    service.post("noop", delay=3_600)
    id_ = service.post("sleep", {"seconds": 0.001}, delay=3_600 if command == "cancel" else 0)
    service.post("noop", delay=3_600)
    service.wait_for(id_, "scheduled" if command == "cancel" else "done")
    done = ask(command, short(id_), *place)
    assert done.returncode == 0, done.stderr
    if command in ("show", "why", "cancel", "retry"):
        assert json.loads(done.stdout)["id"] == id_
    if command == "rm":
        assert service.http.get(f"/jobs/{id_}").status_code == 404
    unknown = ask(command, "00000000", *place)
    assert unknown.returncode == Exit.NOT_FOUND
    assert "00000000" in unknown.stderr
    service.post("noop", delay=3_600)
    ambiguous = ask(command, id_[:6], *place)
    assert ambiguous.returncode == Exit.USAGE
    assert ambiguous.stdout == ""


def test_the_newest_jobs_are_found_across_pages(ask, place, service):
    first = service.post("noop", delay=3_600)
    jobs = [{"type": "noop", "delay": 3_600}] * 501
    assert service.http.post("/jobs", json=jobs).status_code == 201
    assert json.loads(ask("show", short(first), *place).stdout)["id"] == first
