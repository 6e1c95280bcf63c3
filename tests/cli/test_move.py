"""`trio-jobs move`: what it says, how it ends, and that a kill costs nothing."""

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest

from trio_jobs.cli.exits import Exit

from ..postgres import Server
from ..processes import ENVIRONMENT, running
from .conftest import COMMAND, run

FILE = "sqlite:///trio-jobs.db"
COPY = "sqlite:///copy.db"


@pytest.fixture
def target(postgres: Server) -> Iterator[str]:
    """The URL of a PostgreSQL database with nothing in it."""
    import psycopg

    with psycopg.connect(postgres.url(), autocommit=True) as db:
        db.execute("create database moved_to")
    yield postgres.url("moved_to")
    with psycopg.connect(postgres.url(), autocommit=True) as db:
        db.execute("drop database moved_to with (force)")


def lines(jobs: int) -> str:
    return "".join(json.dumps({"type": "noop", "input": {"n": n}}) + "\n" for n in range(jobs))


def fill(directory, jobs: int = 3) -> list[str]:
    assert run(directory, "migrate").returncode == 0
    done = run(directory, "enqueue", "--file", "-", "--database", FILE, stdin=lines(jobs))
    assert done.returncode == 0, done.stderr
    return ids(directory, FILE)


def ids(directory, url: str) -> list[str]:
    listed = run(directory, "ls", "-o", "id", "--database", url, "--limit", "500")
    assert listed.returncode == 0, listed.stderr
    return listed.stdout.split()


def test_it_says_what_went_over_and_what_to_do_next(tmp_path, target):
    there = fill(tmp_path)
    done = run(tmp_path, "move", FILE, target)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert " 3 jobs\n" in done.stderr
    assert f"--database {target}" in done.stderr
    assert ids(tmp_path, target) == there == ids(tmp_path, FILE)
    back = run(tmp_path, "move", target, COPY)
    assert back.returncode == 0, back.stderr
    assert ids(tmp_path, COPY) == there


def test_a_service_works_off_what_came(tmp_path, target):
    last, *_ = fill(tmp_path)
    assert run(tmp_path, "move", FILE, target).returncode == 0
    with running(tmp_path, "--database", target) as service:
        service.wait_for(last, "done")


def test_a_service_that_is_still_there_is_told_of(tmp_path):
    with running(tmp_path):
        refused = run(tmp_path, "move", FILE, COPY)
    assert refused.returncode == Exit.REFUSED
    assert "in use by process" in refused.stderr
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", id="into-postgres")])
def test_it_goes_on_after_a_kill(tmp_path, request, kind, stop):
    to = COPY if kind == "sqlite" else request.getfixturevalue("target")
    there = fill(tmp_path, 200)
    script = (
        "from trio_jobs.storage.move import mover\n"
        f"from trio_jobs.storage.move.{kind} import {kind.title()}End as End\n"
        "import sys, time\n"
        "mover.JOBS_AT_ONCE = 10\n"
        "put = End.put\n"
        "def slow(*args):\n"
        "    put(*args); print('put', flush=True); time.sleep(0.1)\n"
        "End.put = slow\n"
        "from trio_jobs.cli import main\n"
        f"main(['move', {FILE!r}, {to!r}])\n"
    )
    process = subprocess.Popen(
        [COMMAND[0], "-c", script],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "put\n"
    process.send_signal(stop)
    _, said = process.communicate(timeout=20)
    if stop == signal.SIGINT:
        assert process.returncode == Exit.INTERRUPTED
        assert "goes on from here" in said
    refused = run(tmp_path, "ls", "--database", to)
    assert refused.returncode == Exit.ERROR
    assert "a move that has not ended" in refused.stderr
    done = run(tmp_path, "move", FILE, to)
    assert done.returncode == 0, done.stderr
    assert "went on after" in done.stderr
    assert ids(tmp_path, to) == there


@pytest.mark.parametrize(
    ("from_", "to", "code", "why"),
    [
        ("nonsense", COPY, Exit.USAGE, "is not sqlite:///FILE"),
        (FILE, "mysql://localhost/jobs", Exit.USAGE, "is not sqlite:///FILE"),
        ("sqlite:///nothing.db", COPY, Exit.REFUSED, "no database"),
        (FILE, FILE, Exit.REFUSED, "same database"),
        (FILE, "postgresql://127.0.0.1:1/jobs", Exit.UNREACHABLE, "cannot be reached"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, from_, to, code, why):
    assert run(tmp_path, "migrate").returncode == 0
    refused = run(tmp_path, "move", from_, to)
    assert refused.returncode == code, refused.stderr
    assert why in refused.stderr
