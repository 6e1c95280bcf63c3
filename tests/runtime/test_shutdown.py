"""The ladder: real processes, real signals, a real terminal."""

import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time

import apsw
import pytest

from ..processes import ENVIRONMENT, PATIENCE, SERVE, running, until

pytestmark = pytest.mark.slow

STUBBORN = """
import sys, time, trio
from trio_jobs.config import Settings
from trio_jobs.registry import Handler, Registry
from trio_jobs.runtime import Runtime

async def deaf(_input, ctx):
    while True:
        try:
            await trio.sleep(3600)
        except trio.Cancelled:
            pass

async def blocking(_input, ctx):
    time.sleep(3600)

def hung(_input, ctx):
    time.sleep(3600)

settings, _ = Settings.load({"bind": "127.0.0.1:0", "shutdown_grace": 0.5,
                             "cleanup_grace": 0.5})
registry = Registry([Handler("deaf", deaf), Handler("blocking", blocking),
                     Handler("hung", hung)])
runtime = Runtime(
    settings, registry, on_ready=lambda urls: print("serving on", urls[0], flush=True)
)
trio.run(runtime.run)
"""


def _stored(directory, id_):
    db = apsw.Connection(str(directory / "trio-jobs.db"))
    row = db.execute("select state, attempt, reason from jobs where id = ?", (id_,)).fetchall()[0]
    db.close()
    return row


def test_an_idle_service_is_gone_within_a_second(tmp_path):
    with running(tmp_path) as service:
        service.wait_for(service.post("noop"), "done")
        start = time.monotonic()
        service.signal()
        assert service.exit_code() == 0
        assert time.monotonic() - start < 1.5
    assert not (tmp_path / "trio-jobs.db-wal").exists()


def test_a_stop_waits_for_short_jobs_and_hands_long_ones_back_uncharged(tmp_path):
    with running(tmp_path, "--shutdown-grace", "5") as service:
        short, long = service.post("sleep", {"seconds": 1}), service.post("sleep", {"seconds": 60})
        service.wait_for(short, "running")
        service.wait_for(long, "running")
        start = time.monotonic()
        service.signal()
        until(lambda: service.http.get("/readyz").status_code == 503)
        assert service.http.post("/jobs", json={"type": "noop"}).status_code == 503
        assert service.exit_code() == 0
        assert time.monotonic() - start < 7
    assert _stored(tmp_path, short) == ("done", 1, None)
    assert _stored(tmp_path, long) == ("queued", 0, "shutdown")


def test_a_second_signal_cancels_at_once_and_still_exits_cleanly(tmp_path):
    with running(tmp_path) as service:
        id_ = service.post("sleep", {"seconds": 60})
        service.wait_for(id_, "running")
        service.signal(signal.SIGINT)
        until(lambda: "stopping" in service.log)
        start = time.monotonic()
        service.signal(signal.SIGINT)
        assert service.exit_code() == 0
        assert time.monotonic() - start < 2
    assert _stored(tmp_path, id_) == ("queued", 0, "shutdown")


def test_a_third_signal_exits_at_once(tmp_path):
    with running(tmp_path, command=(sys.executable, "-c", STUBBORN)) as service:
        id_ = service.post("deaf")
        service.wait_for(id_, "running")
        for _ in range(3):
            service.signal(signal.SIGINT)
            time.sleep(0.05)  # signals of one kind that come together are one
        assert service.exit_code() in (130, 0)


def test_a_job_that_will_not_stop_does_not_hold_the_exit(tmp_path):
    with running(tmp_path, command=(sys.executable, "-c", STUBBORN)) as service:
        id_ = service.post("deaf")
        service.wait_for(id_, "running")
        start = time.monotonic()
        service.signal()
        assert service.exit_code() == 0
        assert time.monotonic() - start < 0.5 + 2
    assert _stored(tmp_path, id_) == ("queued", 0, "shutdown")


def test_a_blocked_event_loop_can_still_be_killed_from_the_keyboard(tmp_path):
    with running(tmp_path, command=(sys.executable, "-c", STUBBORN)) as service:
        service.post("blocking")
        until(lambda: "the event loop has been blocked" in service.log)
        assert "in blocking" in service.log
        for _ in range(3):
            service.signal(signal.SIGINT)
            time.sleep(0.05)
        assert service.exit_code() == 130


def test_clients_that_never_read_do_not_hold_the_exit(tmp_path):
    with running(tmp_path, "--shutdown-grace", "1") as service:
        for _ in range(100):
            service.post("noop", {"x": "y" * 20_000})
        host, port = service.url.removeprefix("http://").split(":")
        deaf = []
        for _ in range(20):
            connection = socket.create_connection((host, int(port)))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(b"GET /jobs?limit=100 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
            deaf.append(connection)
        start = time.monotonic()
        service.signal()
        assert service.exit_code() == 0
        assert time.monotonic() - start < 3
        for connection in deaf:
            connection.close()


def test_ctrl_c_on_a_terminal_stops_it_and_the_banner_says_how(tmp_path):
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        SERVE,
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=_take_terminal,
    )
    os.close(terminal)
    try:
        shown = b""
        while b"Ctrl-C stops" not in shown:
            shown += os.read(controller, 4096)
        assert b"http://127.0.0.1:" in shown
        assert b"curl" in shown
        os.write(controller, b"\x03")
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(controller)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_port_that_is_taken_is_one_clear_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = subprocess.run(
            [*SERVE[:-1], bind], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
        )
    assert refused.returncode == 1
    assert f"cannot serve on {bind}" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_second_service_on_the_same_file_is_told_who_has_it(tmp_path):
    with running(tmp_path) as service:
        refused = subprocess.run(
            SERVE, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
        )
        assert refused.returncode == 1
        assert f"process {service.process.pid}" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_killed_service_resumes_its_jobs_within_two_seconds(tmp_path):
    with running(tmp_path) as service:
        id_ = service.post("sleep", {"seconds": 1})
        service.wait_for(id_, "running")
        service.process.kill()
        service.process.wait()
    start = time.monotonic()
    with running(tmp_path) as service:
        job = service.wait_for(id_, "running", "done")
        assert time.monotonic() - start < 4
        assert job["attempt"] == 1
        service.wait_for(id_, "done")


def test_a_database_that_was_deleted_ends_the_process_whatever_its_jobs_do(tmp_path):
    with running(tmp_path, command=(sys.executable, "-c", STUBBORN)) as service:
        service.wait_for(service.post("hung"), "running")
        for file in tmp_path.glob("trio-jobs.db*"):
            if file.is_file():
                file.unlink()
        reply = service.http.post("/jobs", json={"type": "hung"})
        assert reply.status_code == 503, "nothing may be acknowledged that nobody can find again"
        assert service.exit_code() == 70
        assert "is gone" in service.log


def test_two_signals_end_even_a_client_that_reads_slowly(tmp_path):
    with running(tmp_path) as service:
        service.http.post("/jobs", json=[{"type": "noop"}] * 500)
        host, port = service.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.sendall(b"GET /jobs?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 40)
            time.sleep(0.2)
            service.signal(signal.SIGINT)
            time.sleep(0.2)
            start = time.monotonic()
            service.signal(signal.SIGINT)
            assert service.exit_code() == 0
            assert time.monotonic() - start < 3


def test_a_stop_sends_those_home_who_wait_or_listen(tmp_path):
    with running(tmp_path) as service:
        id_ = service.post("noop", delay=3_600)
        answers: list[object] = []

        def wait() -> None:
            answers.append(service.http.get(f"/jobs/{id_}?wait=55").json()["state"])

        def listen() -> None:
            with service.http.stream("GET", "/events") as stream:
                answers.append(b"".join(stream.iter_raw()))

        threads = [threading.Thread(target=call) for call in (wait, listen)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert answers == []
        start = time.monotonic()
        service.signal()
        assert service.exit_code() == 0
        assert time.monotonic() - start < 1.5
        for thread in threads:
            thread.join()
        assert "scheduled" in answers


def test_why_knows_what_the_worker_of_this_process_takes(tmp_path):
    with running(tmp_path, "--queues", "media:1") as service:
        runs = service.post("sleep", {"seconds": 60}, queue="media")
        service.wait_for(runs, "running")
        waits, unserved = service.post("noop", queue="media"), service.post("noop")

        def codes(id_: str) -> list[str]:
            reasons = service.http.get(f"/jobs/{id_}/why").json()["reasons"]
            return [reason["code"] for reason in reasons]

        assert codes(waits) == ["limit_reached"]
        assert codes(unserved) == ["no_worker"]
