"""A log that nobody reads costs its lines, never the service."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from ..processes import ENVIRONMENT, PATIENCE, SERVE, running, until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("access_log", ["--access-log", "--no-access-log"])
def test_a_pipe_that_nobody_reads_stops_neither_the_service_nor_its_end(
    tmp_path: Path, access_log: str
) -> None:
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [*SERVE, "--bind", f"unix:{tmp_path}/socket", access_log],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=writer,
    )
    os.set_blocking(writer, False)
    try:
        until(lambda: b"serving on" in os.read(reader, 4_096))
        try:  # to the last byte, so that the next line is stuck
            while True:
                os.write(writer, b"x" * 4_096)
        except BlockingIOError:
            pass
        os.set_blocking(writer, True)
        transport = httpx.HTTPTransport(uds=f"{tmp_path}/socket")
        with httpx.Client(transport=transport, base_url="http://localhost", timeout=5) as http:
            for _ in range(50):
                assert http.post("/jobs", json={"type": "noop"}).status_code == 201
            # A warning, from within the loop: jobs run while the service is told to stop.
            long = http.post("/jobs", json={"type": "sleep", "input": {"seconds": 60}}).json()
            until(lambda: http.get(f"/jobs/{long['id']}").json()["status"] == "running")
            start = time.monotonic()
            process.send_signal(signal.SIGTERM)
            until(lambda: http.get("/readyz").status_code == 503)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
            assert time.monotonic() - start < 4
    finally:
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)


def test_each_line_of_a_real_service_is_json(tmp_path: Path) -> None:
    with running(tmp_path, "--access-log", "--log-level", "debug") as service:
        service.wait_for(service.post("noop"), "done")
        assert service.http.get("/jobs/%0Anone").status_code == 400
        service.wait_for(service.post("sleep", {"seconds": 60}), "running")
        service.signal()
        until(lambda: "are running" in service.log)
        service.signal()
        assert service.exit_code() == 0
    lines = [json.loads(line) for line in service.log.splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, lines))
    requests = [line for line in lines if line["logger"] == "trio_jobs.access"]
    assert all(line["request_id"] for line in requests)
    assert len({line["request_id"] for line in requests}) == len(requests)


def last_line(directory: Path, code: int, *command: str) -> str:
    """All that `command` writes to stderr, before it exits with `code`."""
    done = subprocess.run(
        command, cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == code
    [line] = done.stderr.splitlines()
    return line


def test_why_it_cannot_start_is_a_line_too_and_the_secrets_are_not_in_it(tmp_path: Path) -> None:
    options = ("--webhook-secret", "whsec_hunter2hunter2", "--log-format", "json")
    line = last_line(tmp_path, 2, *SERVE, *options)
    assert json.loads(line)["level"] == "critical"
    assert "webhook_secret" in json.loads(line)["message"]
    assert "hunter2" not in line


def test_a_service_without_stderr_serves(tmp_path: Path) -> None:
    process = subprocess.Popen(
        ["bash", "-c", 'exec "$@" 2>&-', "bash", *SERVE, "--bind", f"unix:{tmp_path}/socket"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
    )
    try:
        until((tmp_path / "socket").exists)
        transport = httpx.HTTPTransport(uds=f"{tmp_path}/socket")
        with httpx.Client(transport=transport, base_url="http://localhost") as http:
            until(lambda: http.get("/readyz").status_code == 200)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def test_a_bug_of_ours_is_a_line_with_its_traceback_and_exits_with_1(tmp_path: Path) -> None:
    broken = (
        "import trio_jobs.runtime.runtime as r; from trio_jobs.cli import main\n"
        "async def run(*_, **__): raise ValueError('password=hunter2')\n"
        "r.Runtime._run_store = run; main()"
    )
    line = last_line(tmp_path, 1, SERVE[0], "-c", broken, "serve", "--bind", "127.0.0.1:0")
    assert "ValueError: password=[redacted]" in json.loads(line)["traceback"]
    assert "hunter2" not in line
