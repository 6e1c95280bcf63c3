"""What holds for every command that asks a queue something: both places, the same exit codes."""

import inspect
import socket

import pytest

from trio_jobs.cli import _COMMANDS, main
from trio_jobs.cli.exits import Exit
from trio_jobs.cli.on_file import OnFile
from trio_jobs.cli.over_http import OverHttp
from trio_jobs.cli.place import Place

from .conftest import run

NOBODY = "0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d"
ARGUMENTS = {
    "enqueue": ("noop", "--delay", "1h"),
    "ls": (),
    "show": (NOBODY,),
    "result": (NOBODY,),
    "logs": (NOBODY,),
    "tail": (),
    "why": (NOBODY,),
    "cancel": (NOBODY,),
    "retry": (NOBODY,),
    "rm": (NOBODY,),
    "queues": (),
    "types": (),
    "workers": (),
    "top": (),
}
"""For each command that has a place, how it may be called."""

NEEDS_NO_FILE = {"types"}


def placed():
    return [
        name
        for name in _COMMANDS.keys() - {"worker"}  # test_worker.py; it would wait for the service
        if {"server", "database"} <= {option.name for option in main.get_command(None, name).params}
    ]


def test_all_commands_with_a_place_are_tested_here():
    assert set(ARGUMENTS) == set(placed())


@pytest.mark.parametrize("command", ARGUMENTS)
def test_a_service_that_is_not_there_is_exit_3_and_one_line(ask, command):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        done = ask(command, *ARGUMENTS[command], "--server", url)
    assert (done.returncode, done.stdout) == (Exit.UNREACHABLE, "")
    assert "trio-jobs serve" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [name for name in ARGUMENTS if name not in NEEDS_NO_FILE])
def test_a_database_that_is_not_there_is_exit_1_and_is_not_made(ask, command, tmp_path):
    done = ask(command, *ARGUMENTS[command], "--database", "sqlite:///none.db")
    assert (done.returncode, done.stdout) == (Exit.ERROR, "")
    assert "none.db" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [name for name in ARGUMENTS if NOBODY in ARGUMENTS[name]])
def test_a_job_that_is_not_there_is_exit_4_in_both_places(ask, place, command):
    done = ask(command, *ARGUMENTS[command], *place)
    assert (done.returncode, done.stdout) == (Exit.NOT_FOUND, "")
    assert NOBODY in done.stderr


@pytest.mark.parametrize("command", ARGUMENTS)
def test_one_place_at_a_time(ask, command):
    both = ("--server", "http://localhost", "--database", "sqlite:///a.db")
    assert ask(command, *ARGUMENTS[command], *both).returncode == Exit.USAGE


@pytest.mark.parametrize("place", [OverHttp, OnFile])
def test_both_places_have_all_verbs_with_the_same_arguments(place):
    for name, verb in inspect.getmembers(Place, inspect.isfunction):
        if not name.startswith("_"):
            assert inspect.signature(getattr(place, name)) == inspect.signature(verb), name


def test_a_reader_that_has_seen_enough_is_no_accident(place, tmp_path, service):
    service.http.post("/jobs", json=[{"type": "noop", "delay": 3_600}] * 500)
    shell = f"trio-jobs ls -n 500 {' '.join(place)} | head -n 1"
    done = run(tmp_path, command=("bash", "-c", shell))
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
