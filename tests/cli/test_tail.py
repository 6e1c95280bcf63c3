"""What happens, as it happens, through a service or past it; and who does it."""

import http.server
import json
import signal
import subprocess
import threading
from contextlib import contextmanager

import pytest

from trio_jobs.cli.exits import Exit
from trio_jobs.cli.tail import _plain

from ..processes import ENVIRONMENT
from .conftest import COMMAND


@pytest.fixture
def tailing(place, tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "tail", *place],
        cwd=tmp_path,
        env=ENVIRONMENT | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_all_that_happens_to_a_job_is_told_until_ctrl_c(tailing, service):
    stop = threading.Event()

    def make_something_happen():
        while not stop.wait(0.1):
            service.post("noop", queue="tail")

    making = threading.Thread(target=make_something_happen)
    making.start()
    try:
        while (event := json.loads(tailing.stdout.readline()))["queue"] != "tail":
            pass  # what other tests have left behind
    finally:
        stop.set()
        making.join()
    id_ = service.post("noop", queue="tailed")
    seen = []
    while seen[-1:] != ["job.done"]:
        event = json.loads(tailing.stdout.readline())
        if event["id"] == id_:
            seen.append(event["event"])
    assert seen == ["job.queued", "job.started", "job.done"]
    assert event["seq"] > 0
    assert event["status"] == "done"
    tailing.send_signal(signal.SIGINT)
    _, said = tailing.communicate(timeout=20)
    assert (tailing.returncode, said) == (Exit.INTERRUPTED, "")


EVENT = {
    "seq": 1,
    "event": "job.progress",
    "id": "01a20c60-4e0f-7002-baaa-e48ca591f707",
    "at": "2026-11-24T07:06:07.758846Z",
    "type": "resize",
    "queue": "media",
    "reason": None,
    "progress": {"done": 3.0, "total": 4.0, "note": "thumbs"},
}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "progress   resize in media  3 of 4 thumbs"),
        ({"progress": {"done": 3.5, "total": None, "note": None}}, "resize in media  3.5"),
        ({"event": "job.started"}, "a591f707  started    resize in media"),
        ({"event": "job.failed", "reason": "poison"}, "failed     resize in media  poison"),
    ],
)
def test_on_a_terminal_an_event_is_a_line(capsys, changes, line):
    _plain(EVENT | changes)
    said = capsys.readouterr().out
    assert said.startswith("2026-11-24T07:06:07.758846Z  a591f707  ")
    assert said.endswith(line + "\n")


def test_what_is_forgotten_is_said(capsys):
    _plain({"seq": 9, "event": "lost"})
    assert "forgotten" in capsys.readouterr().out


def test_a_service_that_comes_back_is_followed_where_it_was_left(ask, monkeypatch):
    asked = []

    class Events(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers["Last-Event-ID"])
            self.send_response(200 if len(asked) < 3 else 503)
            self.end_headers()
            data = json.dumps(EVENT | {"n": len(asked)})
            event = f": ping\n\nid: {len(asked) + 6}\nevent: job.done\ndata: {data}\n\n"
            self.wfile.write(event.encode())

        def log_message(self, *args):
            pass

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with serving(Events) as url:
        done = ask("tail", "--server", url)
    assert done.returncode == Exit.REFUSED
    assert [json.loads(line)["n"] for line in done.stdout.splitlines()] == [1, 2]
    assert asked == [None, "7", "8"]


@contextmanager
def serving(handler):
    """A service of our own making; its URL."""
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def other_service():
    """A service that answers GET /types and /workers, and one day more."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.strip("/")
            known = {
                "types": [{"type": "resize", "input": {"type": "object"}, "timeout": None}],
                "workers": [{"worker": "host/1", "slots": 4}, {"worker": "host/2", "slots": 5}],
            }
            self.send_response(200 if name in known else 404)
            self.end_headers()
            self.wfile.write(json.dumps({name: known.get(name)}).encode())

        def log_message(self, *args):
            pass

    with serving(Answers) as url:
        yield url


def test_types_and_workers_are_what_the_service_tells(ask, other_service):
    done = ask("types", "--server", other_service)
    assert json.loads(done.stdout)["type"] == "resize"
    table = ask("workers", "--server", other_service, "-o", "table").stdout
    assert table.split() == ["worker", "slots", "host/1", "4", "host/2", "5"]
    assert ask("types", "-o", "table", "--server", other_service).stdout.split() == [
        *("type", "timeout"),
        "resize",
    ], "schemas do not fit into a table"
    assert ask("types", "-o", "id", "--server", other_service).stdout == "resize\n"


def test_types_are_the_same_in_both_places_and_workers_are_there(ask, service, directory):
    file = ("--database", f"sqlite:///{directory / 'trio-jobs.db'}")
    told = json.loads(ask("types", "-o", "json", "--server", service.url).stdout)
    known = json.loads(ask("types", "-o", "json", *file).stdout)
    assert sorted(known, key=str) == sorted(told, key=str)
    assert json.loads(ask("workers").stdout.splitlines()[0])["slots"] == 100
    assert ask("workers", "-o", "table").stdout.startswith("slots")


def test_no_workers_are_no_accident(ask, monkeypatch):
    monkeypatch.setattr("trio_jobs.cli.over_http.OverHttp.workers", lambda place: [])
    done = ask("workers", "-o", "table")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "none\n")
    assert ask("workers").stdout == ""


def test_a_service_that_does_not_tell_is_exit_4(ask, other_service):
    done = ask("types", "--server", f"{other_service}/nowhere")
    assert done.returncode == Exit.NOT_FOUND
    assert "older than this command" in done.stderr


def test_on_a_file_the_types_are_ours(ask):
    where = ("--database", "sqlite:///none.db")
    assert "send_email" in ask("types", "-o", "id", *where).stdout.split()
