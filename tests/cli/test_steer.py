"""Cancel, retry, remove: one job, some, or all that match, through a service or past it."""

import json
import os
import pty
import signal
import subprocess
from contextlib import contextmanager, suppress

import pytest

from trio_jobs.cli.exits import Exit
from trio_jobs.cli.progress import ProgressBar

from ..processes import ENVIRONMENT
from .conftest import COMMAND, run

NOBODY = "0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d"


def waiting(service, n=1, **options):
    """Ids of new jobs that wait for an hour."""
    return [service.post("noop", delay=3_600, **options) for _ in range(n)]


def test_one_job_goes_all_the_way(ask, place, service):
    [id_] = waiting(service)
    done = ask("cancel", id_, *place)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "cancelled"
    assert ask("cancel", id_, *place).returncode == Exit.REFUSED
    assert json.loads(ask("retry", id_, *place).stdout)["id"] == id_
    service.wait_for(id_, "done")
    done = ask("rm", id_, *place)
    assert (done.returncode, done.stdout) == (0, "")
    assert ask("show", id_).returncode == Exit.NOT_FOUND


def test_a_job_that_runs_in_the_service_hears_of_it_from_wherever(ask, place, service):
    id_ = service.post("sleep", {"seconds": 60})
    service.wait_for(id_, "running")
    done = ask("cancel", id_, *place)
    assert json.loads(done.stdout)["state"] in ("running", "cancelled")
    assert service.wait_for(id_, "cancelled")["reason"] == "cancelled"


def test_a_filter_means_many_and_asks_before(ask, place, service, request):
    queue = f"many-{place[0]}"
    ids = waiting(service, 3, queue=queue)
    [other] = waiting(service)
    where = ("--filter", f"queue={queue} state=scheduled", *place)

    counted = ask("cancel", *where, "--dry-run")
    assert counted.returncode == 0, counted.stderr
    assert json.loads(counted.stdout)["matched"] == 3
    assert "3 jobs would be cancelled" in counted.stderr
    refused = ask("cancel", *where)
    assert refused.returncode == Exit.USAGE
    assert "--yes" in refused.stderr
    assert {service.get(id_)["state"] for id_ in ids} == {"scheduled"}

    done = ask("cancel", *where, "--yes")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["done"] == 3
    assert "3 jobs cancelled" in done.stderr
    assert {service.get(id_)["state"] for id_ in ids} == {"cancelled"}
    assert service.get(other)["state"] == "scheduled"
    done = ask("rm", "--filter", f"queue={queue}", "--yes", *place)
    assert json.loads(done.stdout)["done"] == 3


def test_some_that_cannot_be_done_are_counted_and_are_exit_5(ask, place, service):
    ids = waiting(service, 2)
    done = ask("cancel", *ids, NOBODY, *place)
    assert done.returncode == Exit.REFUSED
    assert "2 jobs cancelled; 1 could not be" in done.stderr
    done = ask("rm", *ids, "--dry-run", *place)
    assert json.loads(done.stdout)["matched"] == 2
    assert ask("rm", *ids, *place).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("cancel", NOBODY), Exit.NOT_FOUND, NOBODY),
        (("retry", NOBODY), Exit.NOT_FOUND, NOBODY),
        (("rm", NOBODY), Exit.NOT_FOUND, NOBODY),
        (("why", NOBODY), Exit.NOT_FOUND, NOBODY),
        (("logs", NOBODY), Exit.NOT_FOUND, NOBODY),
        (("logs", NOBODY, "-f"), Exit.NOT_FOUND, NOBODY),
        (("cancel", "7"), Exit.REFUSED, "UUID"),
        (("cancel", "7", "8"), Exit.REFUSED, "UUID"),
        (("why", "a/../b"), (Exit.REFUSED, Exit.NOT_FOUND), ""),
        (("cancel",), Exit.USAGE, "either"),
        (("cancel", NOBODY, "--filter", "type=noop"), Exit.USAGE, "either"),
        (("cancel", "--filter", "", "--yes"), Exit.USAGE, "all jobs"),
        (("cancel", "--filter", "type", "--yes"), Exit.USAGE, "NAME=VALUE"),
        (("cancel", "--filter", "type='a", "--yes"), Exit.USAGE, "quot"),
        (("cancel", "--filter", "type=a type=b", "--yes"), Exit.USAGE, "twice"),
        (("cancel", "--filter", "tpye=noop", "--yes"), Exit.REFUSED, "tpye"),
        (("cancel", "--filter", "state=dead", "--yes"), Exit.REFUSED, "state"),
        (("queues", "pause"), Exit.USAGE, "NAME"),
        (("queues", "drop", "media"), Exit.USAGE, "drop"),
        (("queues", "pause", "a b"), Exit.REFUSED, "queue"),
        (("queues", "purge", "media"), Exit.USAGE, "--yes"),
    ],
)
def test_what_cannot_be_done_is_said_alike_in_both_places(ask, place, arguments, code, said):
    done = ask(*arguments, *place)
    assert done.returncode in (code if isinstance(code, tuple) else (code,)), done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_visit_makes_no_database_and_only_one_place_is_meant(tmp_path):
    done = run(tmp_path, "queues", "--database", "sqlite:///nowhere.db")
    assert done.returncode == Exit.ERROR
    assert "nowhere.db" in done.stderr
    done = run(tmp_path, "queues", "--database", "mysql://x")
    assert done.returncode == Exit.USAGE
    done = run(tmp_path, "queues", "--database", "sqlite:///a.db", "--server", "http://localhost")
    assert done.returncode == Exit.USAGE
    assert list(tmp_path.iterdir()) == []


def test_a_database_can_be_worked_on_while_no_service_runs(tmp_path):
    assert run(tmp_path, "migrate").returncode == 0
    done = run(tmp_path, "queues", "pause", "media", "--database", "sqlite:///trio-jobs.db")
    assert json.loads(done.stdout)["paused"] is True
    done = run(tmp_path, "queues", "-o", "id", "--database", "sqlite:///trio-jobs.db")
    assert done.stdout.split() == ["media"]


@contextmanager
def asked(directory, queue, *place):
    """A cancel of all in `queue` that waits for a person: its process, terminal, and words."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "cancel", "--filter", f"queue={queue}", *place],
        cwd=directory,
        env=ENVIRONMENT,
        stdin=terminal,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    while b"Go on?" not in shown:
        shown += os.read(controller, 4096)
    yield process, controller, shown
    os.close(controller)


def test_on_a_terminal_a_filter_is_confirmed_by_hand(place, service, tmp_path):
    queue = f"by-hand-{place[0]}"
    [id_] = waiting(service, queue=queue)
    for answer, state in (("n", "scheduled"), ("y", "cancelled")):
        with asked(tmp_path, queue, *place) as (process, controller, shown):
            assert b"1 job would be cancelled" in shown
            os.write(controller, f"{answer}\n".encode())
            assert process.wait(20) == (0 if answer == "y" else Exit.ERROR)
        assert service.get(id_)["state"] == state


def test_ctrl_c_at_the_question_is_exit_130_and_changes_nothing(service, tmp_path):
    [id_] = waiting(service, queue="interrupted")
    with asked(tmp_path, "interrupted", "--server", service.url) as (process, _, _):
        # One that comes just before the process begins to read, it hears of when it has read.
        for _ in range(20):
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
                break
        assert process.returncode == Exit.INTERRUPTED
    assert service.get(id_)["state"] == "scheduled"


def test_queues_are_listed_paused_and_purged(ask, place, service):
    queue = f"listed-{place[0]}"
    waiting(service, 2, queue=queue)
    [shown] = [
        found
        for found in map(json.loads, ask("queues", *place).stdout.splitlines())
        if found["name"] == queue
    ]
    assert (shown["jobs"]["scheduled"], shown["paused"]) == (2, False)
    assert json.loads(ask("queues", "pause", queue, *place).stdout)["paused"] is True
    table = ask("queues", "-o", "table", *place).stdout
    assert "paused" in next(line for line in table.splitlines() if line.startswith(queue))
    assert json.loads(ask("queues", "resume", queue, *place).stdout)["paused"] is False
    done = ask("queues", "purge", queue, "--yes", *place)
    assert json.loads(done.stdout)["done"] == 2
    assert "2 jobs cancelled" in done.stderr


def test_ls_takes_the_same_filters(ask, service):
    ids = waiting(service, 2, queue="ls")
    done = ask("ls", "--filter", "queue=ls state=scheduled", "-o", "id")
    assert done.stdout.split() == ids[::-1]


class Terminal:
    """A stderr that is one, or is not."""

    def __init__(self, *, is_one):
        self.is_one = is_one
        self.text = ""

    def isatty(self):
        return self.is_one

    def write(self, text):
        self.text += text

    def flush(self):
        pass


@pytest.mark.parametrize(("is_one", "shown"), [(True, "#####"), (False, "(50%)")])
def test_progress_is_a_bar_on_a_terminal_and_seldom_a_line_elsewhere(monkeypatch, is_one, shown):
    terminal = Terminal(is_one=is_one)
    now = 100.0
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("time.monotonic", lambda: now)
    bar = ProgressBar("cancelled")
    progress = {"matched": 1_000, "done": 500, "skipped": 0, "scanned": 0.5, "finished": False}
    now += 1.5
    bar(progress)
    assert shown in terminal.text
    assert "cancelled: 500 of 1,000" in terminal.text
    before = terminal.text
    for _ in range(1_000):
        bar(progress)
    assert terminal.text == before
    bar.close()
    assert terminal.text.endswith("\r" if is_one else "\n")


@pytest.mark.parametrize("is_one", [True, False])
def test_progress_without_a_known_end_is_a_count(monkeypatch, is_one):
    terminal = Terminal(is_one=is_one)
    now = 100.0
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("time.monotonic", lambda: now)
    bar = ProgressBar("sent")
    now += 1.5
    bar({"done": 7_000})
    assert terminal.text.strip() == "sent: 7,000"
