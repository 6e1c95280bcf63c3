"""The load test as a user runs it; and that its audit would notice what it looks for."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "load_test.py"
PATIENCE = 40  # seconds; nothing here takes that long unless it hangs


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    with start(*arguments) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return process.returncode, out, err


def report(*arguments: str, code: int = 0) -> dict[str, Any]:
    """The report of a run that ends with `code`."""
    returncode, out, err = run(*arguments, "--json")
    assert returncode == code, out + err
    return json.loads(out)


class FakeServer(ThreadingHTTPServer):
    """Takes and finishes jobs at once, unless a test gives it another way to."""

    daemon_threads = True
    request_queue_size = 128  # a connection more than that waits a second for its next try

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FakeConnection)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.lock = threading.Lock()
        self.taken: list[str] = []
        self.reads: dict[str, int] = {}

    def take(self) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.taken.append(f"job-{len(self.taken)}")
            return 201, {"id": self.taken[-1]}

    def show(self, id_: str) -> tuple[int, dict[str, Any]]:
        return 200, {
            "id": id_,
            "status": "done",
            "state": "done",
            "attempt": 1,
            "max_attempts": 5,
            "version": 3,
            "created_at": "2026-01-31T12:00:00.000000Z",
            "finished_at": "2026-01-31T12:00:00.010000Z",
        }


class FakeConnection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeServer

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(*self.server.take())

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self._answer(*((200, {}) if name == "readyz" else self.server.show(name)))

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} x\r\nContent-Length: {len(data)}\r\n\r\n"
        self.wfile.write(head.encode() + data)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(server: FakeServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)


# ── as a user runs it ─────────────────────────────────────────────────────────────────────────


def test_a_run_accounts_for_every_job_that_was_promised() -> None:
    found = report("--spawn", "--jobs", "300", "--clients", "8")
    assert found["accepted"] == 300
    assert found["errors"] == {}
    assert found["audit"]["ok"]
    assert found["audit"]["states"] == {"done": 300}
    assert found["server_exit"] == 0
    for name in ("post_ms", "done_ms"):
        latency = found[name]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]


@pytest.mark.slow
def test_arrays_from_several_processes_lose_no_job_between_them() -> None:
    found = report(
        *("--spawn", "--jobs", "205", "--batch", "20", "--clients", "5", "--processes", "2"),
        *("--type", "sleep", "--input", '{"seconds": 0.05}'),
    )
    assert found["audit"]["states"] == {"done": 205}
    assert found["done_ms"]["p50"] >= 50


@pytest.mark.slow
def test_a_person_is_told_the_same_and_sees_the_work_go_on(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "latency.svg"
    code, out, err = run(
        *("--spawn", "--jobs", "60", "--clients", "4", "--compare-echo", "--progress"),
        *("--plot", str(picture)),
    )
    assert code == 0, out + err
    assert "audit: ok: 60 acknowledged: 60 done" in out
    assert "POST -> done" in out
    assert "httpx" in out
    assert "trio_jobs / echo: " in out
    assert "60/60" in err
    assert "<svg" in picture.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_ctrl_c_prints_what_there_is_and_leaves_no_process_behind(processes: str) -> None:
    with start(
        *("--spawn", "--jobs", "1000000", "--clients", "4", "--processes", processes),
        *("--progress", "--json"),
        start_new_session=True,
    ) as process:
        try:
            assert process.stderr is not None
            seen = ""
            while not re.search(r"\] [1-9]", seen):
                seen += (piece := process.stderr.read(1))
                assert piece, seen
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 130, out + err
    found = json.loads(out)
    assert found["interrupted"]
    assert 0 < found["accepted"] < 1000000
    assert found["audit"]["acknowledged"] == found["accepted"]
    assert found["audit"]["faults"] == {}
    assert found["server_exit"] == 0


# ── a load generator that could deceive ───────────────────────────────────────────────────────


def test_a_lost_job_is_named() -> None:
    class Loser(FakeServer):
        def show(self, id_: str) -> tuple[int, dict[str, Any]]:
            return (404, {}) if id_ == "job-7" else super().show(id_)

    with serving(Loser()) as url:
        found = report("--server", url, "--jobs", "20", code=1)
        code, out, _ = run("--server", url, "--jobs", "20")
    assert found["audit"]["faults"] == {
        "lost: the server does not know it": {"count": 1, "ids": ["job-7"]}
    }
    assert code == 0, out  # the second run's jobs have other names


def test_an_id_that_is_acknowledged_twice_is_named_for_a_person() -> None:
    class Forgetful(FakeServer):
        def take(self) -> tuple[int, dict[str, Any]]:
            status, job = super().take()
            return status, {"id": "job-3"} if job["id"] == "job-5" else job

    with serving(Forgetful()) as url:
        code, out, _ = run("--server", url, "--jobs", "20", "--clients", "2")
    assert code == 1
    assert "audit: FAILED: 20 acknowledged" in out
    assert "1 acknowledged twice: job-3" in out


def test_a_job_that_ends_again_after_its_end_is_named() -> None:
    class Undead(FakeServer):
        def show(self, id_: str) -> tuple[int, dict[str, Any]]:
            status, job = super().show(id_)
            self.reads[id_] = self.reads.get(id_, 0) + 1
            if id_ == "job-2" and self.reads[id_] > 1:
                job["version"] += 2
            return status, job

    with serving(Undead()) as url:
        found = report("--server", url, "--jobs", "10", code=1)
    assert found["audit"]["faults"] == {
        "final, and then moved again": {"count": 1, "ids": ["job-2"]}
    }


def test_jobs_that_never_end_do_not_hold_the_audit_for_ever_and_twenty_are_named() -> None:
    class Idle(FakeServer):
        def show(self, id_: str) -> tuple[int, dict[str, Any]]:
            return 200, super().show(id_)[1] | {"status": "pending", "state": "queued"}

    with serving(Idle()) as url:
        found = report("--server", url, "--jobs", "30", "--settle-timeout", "0.3", code=1)
    (fault,) = found["audit"]["faults"].items()
    assert fault[0] == "not final in time"
    assert fault[1]["count"] == 30
    assert len(fault[1]["ids"]) == 20


def test_refused_posts_are_counted_by_kind_and_are_no_success() -> None:
    class Full(FakeServer):
        def take(self) -> tuple[int, dict[str, Any]]:
            return 503, {"type": "/problems/unavailable"}

    with serving(Full()) as url:
        found = report("--server", url, "--jobs", "5", code=1)
    assert found["errors"] == {"503 unavailable": 5}
    assert found["accepted"] == 0


@pytest.mark.slow
def test_an_open_loop_does_not_hide_the_posts_that_a_stall_kept_waiting() -> None:
    class Stalling(FakeServer):
        def take(self) -> tuple[int, dict[str, Any]]:
            answer = super().take()
            if answer[1]["id"] == "job-0":
                time.sleep(0.5)  # the server under test is the one that is slow here
            return answer

    with serving(Stalling()) as url:
        found = report("--server", url, "--rate", "100", "--seconds", "1", "--clients", "1")
    assert found["accepted"] == 100
    # One post was slow, but the fifty that were due meanwhile had to wait for it.
    assert found["post_ms"]["p90"] > 100


# ── what it refuses ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--server", "http://192.0.2.1:8080"], "load stays on loopback"),
        (["--server", "http://localhost.example.com"], "load stays on loopback"),
        (["--server", "https://127.0.0.1"], "load stays on loopback"),
        ([], "one of --spawn and --server"),
        (["--spawn", "--jobs", "5", "--rate", "5"], "give one of them"),
        (["--spawn", "--plot", "latency.pdf"], ".svg or .png"),
    ],
)
def test_load_is_not_sent_where_it_is_not_meant_to_go(arguments: list[str], words: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_a_server_that_is_not_there_is_said_to_be_not_there() -> None:
    gone = FakeServer()
    gone.server_close()
    code, out, err = run("--server", gone.url)
    assert (code, out) == (3, "")
    assert f"no server at {gone.url}" in err


def test_a_missing_matplotlib_is_noticed_before_the_run_and_named_with_its_extra() -> None:
    hide = "import runpy, sys; sys.modules['matplotlib'] = None; sys.path.insert(0, {!r}); "
    program = hide.format(str(SCRIPT.parent)) + f"runpy.run_path({str(SCRIPT)!r}, None, '__main__')"
    done = subprocess.run(
        [sys.executable, "-c", program, "--spawn", "--plot", "latency.svg"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert "trio-jobs[plot]" in done.stderr
