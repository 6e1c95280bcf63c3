"""Several services on one PostgreSQL: real processes, real time."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from trio_jobs.storage.migrations import migrations

from .postgres import Server, started
from .processes import ENVIRONMENT, running, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that is restarted here."""
    with started() as server:
        yield server


@pytest.fixture
def database(server: Server) -> Iterator[tuple[str, str]]:
    """The option with the URL of an empty database."""
    with psycopg.connect(server.url(), autocommit=True) as db:
        db.execute("create database services")
    yield "--database", server.url("services")
    with psycopg.connect(server.url(), autocommit=True) as db:
        db.execute("drop database services with (force)")


def test_a_cancel_at_one_process_stops_the_job_in_another(
    tmp_path: Path, database: tuple[str, str]
) -> None:
    with (
        running(tmp_path, *database) as worker,
        running(tmp_path, *database, "--no-worker") as other,
    ):
        for _ in range(3):
            id_ = other.post("sleep", {"seconds": 60})
            other.wait_for(id_, "running")
            asked = time.monotonic()
            assert other.http.post(f"/jobs/{id_}/cancel").status_code in (200, 202)
            assert other.wait_for(id_, "failed")["state"] == "cancelled"
            assert time.monotonic() - asked < 1
        id_ = other.post("noop", {"x": 1})
        assert other.http.get(f"/jobs/{id_}?wait=5").json()["status"] == "done"
        worker.signal()
        other.signal()
        assert worker.exit_code() == other.exit_code() == 0, worker.log + other.log


def test_jobs_of_a_killed_process_run_again_elsewhere_when_their_lease_has_ended(
    tmp_path: Path, database: tuple[str, str]
) -> None:
    with running(tmp_path, *database, "--no-worker", "--lease", "3") as watcher:
        with running(tmp_path, *database, "--lease", "3") as killed:
            id_ = watcher.post("sleep", {"seconds": 2})
            watcher.wait_for(id_, "running")
            killed.signal(signal.SIGKILL)
            died = time.monotonic()
        with running(tmp_path, *database, "--lease", "3"):
            assert watcher.wait_for(id_, "done")["attempt"] == 1
            assert time.monotonic() - died < 10


def test_a_server_that_restarts_ends_no_process(
    tmp_path: Path, server: Server, database: tuple[str, str]
) -> None:
    with running(tmp_path, *database) as one, running(tmp_path, *database) as other:
        long = one.post("sleep", {"seconds": 3})
        one.wait_for(long, "running")
        for _ in range(3):
            server.restart()
            time.sleep(0.3)
        server.stop()
        assert one.http.post("/jobs", json={"type": "noop"}).status_code == 503
        assert one.http.get("/livez").status_code == 200
        server.start()
        until(lambda: other.http.post("/jobs", json={"type": "noop"}).status_code == 201)
        assert one.wait_for(long, "done")["attempt"] == 1
        for service in (one, other):
            id_ = service.post("noop")
            service.wait_for(id_, "done")
            service.signal()
            assert service.exit_code() == 0, service.log
            assert "Traceback" not in service.log


def test_commands_go_straight_to_the_database(tmp_path: Path, database: tuple[str, str]) -> None:
    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "trio_jobs", *words, *database],
            capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT, timeout=30,
        )  # fmt: skip

    assert "no tables" in ask("queues").stderr
    assert ask("migrate", "status").stdout.count("pending") == len(migrations("postgres"))
    assert ask("migrate").returncode == 0
    assert ask("migrate", "status").stdout.count("applied") == len(migrations("postgres"))
    enqueued = ask("enqueue", "noop", "-o", "id")
    assert enqueued.returncode == 0, enqueued.stderr
    assert enqueued.stdout.strip() in ask("ls", "-o", "id").stdout
    assert "ok" in ask("doctor").stdout
    refused = ask("backup", "copy.db")
    assert refused.returncode == 2
    assert "PostgreSQL" in refused.stderr
