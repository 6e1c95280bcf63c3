"""The live view: on a terminal, and once where there is none."""

import os
import pty
import signal
import subprocess
import termios

import pytest

from trio_jobs.cli.exits import Exit
from trio_jobs.cli.top import Look, _lines

from ..processes import ENVIRONMENT
from .conftest import COMMAND

# As high as all queues need that other tests have made.
SCREEN = {"TERM": "xterm", "COLUMNS": "100", "LINES": "3000"}
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


def test_without_a_terminal_it_is_shown_once(ask, place, service):
    queue = f"top-{place[0]}"
    service.post("noop", delay=3_600, queue=queue)
    running = service.post("sleep", {"seconds": 60}, queue=queue)
    failed = service.post("webhook", {"url": "http://127.0.0.1:1/"}, max_attempts=1, queue=queue)
    service.wait_for(running, "running")
    service.wait_for(failed, "failed")
    done = ask("top", *place)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    [row] = [line.split() for line in lines if line.startswith(queue)]
    assert row == [queue, "0", "1", "1", "1"]
    assert any(line.startswith(f"{running[-8:]}  sleep") for line in lines)
    assert any(line.startswith(f"{failed[-8:]}  webhook") for line in lines)
    service.http.post(f"/jobs/{running}/cancel")
    assert ask("top", "--interval", "0.01", *place).returncode == Exit.USAGE


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, directory, *arguments):
        self.ours, self.theirs = pty.openpty()
        self.before = termios.tcgetattr(self.theirs)
        self.shown = b""
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=directory,
            env=ENVIRONMENT | SCREEN,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
        )

    def read_until(self, text):
        while text not in self.shown:
            self.shown += os.read(self.ours, 65_536)

    def ended(self):
        """The exit code; the terminal must be as it was."""
        self.read_until(LEAVE)
        code = self.process.wait(20)
        assert termios.tcgetattr(self.theirs) == self.before
        return code

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def watching(place, service, tmp_path):
    service.post("noop", delay=3_600, queue="watched")
    terminal = Terminal(tmp_path, "top", "--interval", "0.1s", *place)
    try:
        terminal.read_until(b"watched")
        yield terminal
    finally:
        terminal.close()


def test_it_follows_what_happens_and_q_ends_it(watching, service, place):
    assert ENTER in watching.shown
    service.post("noop", delay=3_600, queue=f"now{place[0]}")
    watching.read_until(f"now{place[0]}".encode())
    assert b"q quits" in watching.shown
    os.write(watching.ours, b"q")
    assert watching.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_terminal_is_as_before(watching, number):
    watching.process.send_signal(number)
    assert watching.ended() == Exit.INTERRUPTED


def test_a_service_that_goes_is_told_on_the_screen_that_stays(tmp_path):
    terminal = Terminal(tmp_path, "top", "--server", "http://127.0.0.1:1")
    try:
        assert terminal.ended() == Exit.UNREACHABLE
        terminal.read_until(b"cannot reach")
        assert terminal.shown.index(LEAVE) < terminal.shown.index(b"cannot reach")
    finally:
        terminal.close()


def queue(**jobs):
    states = dict.fromkeys(("queued", "scheduled", "running", "done", "failed", "cancelled"), 0)
    return {
        "name": "media",
        "jobs": states | jobs,
        "paused": True,
        "latency": 61.4,
        "oldest_due_at": "2026-11-24T07:06:07.758846Z",
    }


JOB = {
    "id": "01a20c60-4e0f-7002-baaa-e48ca591f707",
    "type": "resize",
    "queue": "media",
    "attempt": 2,
    "max_attempts": 5,
    "started_at": "1970-01-01T00:01:30Z",
    "finished_at": "1970-01-01T00:01:35Z",
    "progress": {"done": 3.0, "total": 4.0, "note": "thumbs"},
    "reason": None,
    "error": {"type": "OSError", "message": "line one\nline \x1b[31mtwo", "traceback": ""},
}


def test_rates_are_what_has_ended_between_two_looks():
    before = Look(100.0, [queue(done=10)], [], [])
    look = Look(102.0, [queue(done=13, failed=2, queued=1_234)], [JOB], [JOB])
    said = "\n".join(_lines(look, before))
    assert "media  1,234   0          0        2       2.5      61 s    paused" in said
    assert "a591f707  resize  media  2 of 5   12 s  3 (75%) thumbs" in said
    assert "a591f707  resize  media  7 s  OSError: line one line ?[31mtwo" in said


def test_many_queues_do_not_push_all_else_off_the_screen():
    many = [queue(queued=n) | {"name": f"q{n}"} for n in range(30)]
    lines = _lines(Look(0.0, many, [JOB], []), None, most_queues=3)
    assert [line.split()[0] for line in lines[3:7]] == ["q29", "q28", "q27", "and"]
    assert lines[6] == "and 27 more"
    assert len(_lines(Look(0.0, many, [], []), None)) > 30


def test_what_was_pruned_makes_no_negative_rate():
    look = Look(102.0, [queue(done=3)], [], [])
    assert "0.0" in "\n".join(_lines(look, Look(100.0, [queue(done=10)], [], [])))
    assert "-" not in _lines(look, Look(100.0, [queue(done=10)], [], []))[3]


def test_there_is_something_to_see_when_there_are_no_jobs(tmp_path, ask):
    ask("migrate")
    done = ask("top", "--database", "sqlite:///trio-jobs.db")
    assert done.stdout.splitlines()[2].startswith("queue")
