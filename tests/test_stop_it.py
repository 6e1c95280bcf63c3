"""A running job is stopped by whoever asks: over HTTP, from the command line, past the service."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .processes import ENVIRONMENT, Service, running, until

AT_ONCE = 1.0  # seconds: what we promise

pytestmark = pytest.mark.slow


@contextmanager
def in_background(call: Callable[[], Any]) -> Iterator[list[Any]]:
    """What `call` returns, with the time, once it has."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append((call(), time.monotonic())))
    thread.start()
    yield found
    thread.join(30)
    assert found


def sleeping(service: Service) -> str:
    id_ = service.post("sleep", {"seconds": 600}, timeout=900)
    service.wait_for(id_, "running")
    return id_


def events(service: Service, id_: str) -> list[str]:
    """The names of a job's events, until its stream ends."""
    with service.http.stream("GET", f"/jobs/{id_}/events") as stream:
        lines = [line for line in stream.iter_lines() if line.startswith("event: ")]
    return [line.removeprefix("event: ") for line in lines]


def by_http(service: Service, id_: str) -> None:
    assert service.http.post(f"/jobs/{id_}/cancel").status_code == 202


def by_command(service: Service, id_: str) -> None:
    command("cancel", id_, "--server", service.url)


def command(*arguments: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "trio_jobs", *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("cancel", [by_http, by_command, "on the file"])
def test_a_cancel_reaches_a_running_job_and_all_who_wait_for_it(
    tmp_path: Path, cancel: Any
) -> None:
    with running(tmp_path) as service:
        id_ = sleeping(service)
        with (
            in_background(lambda: service.http.get(f"/jobs/{id_}?wait=30").json()) as waited,
            in_background(lambda: events(service, id_)) as streamed,
        ):
            if callable(cancel):
                asked = time.monotonic()
                cancel(service, id_)
            else:  # straight on the database: counted from when the command is done
                command("cancel", id_, "--database", "sqlite:///trio-jobs.db", cwd=tmp_path)
                asked = time.monotonic()
            job = service.wait_for(id_, "cancelled")
            assert time.monotonic() - asked < AT_ONCE
            assert job["reason"] == "cancelled"
            until(lambda: waited and streamed, 5)
        assert waited[0][0]["state"] == "cancelled"
        assert streamed[0][0][-1] == "job.cancelled"
        assert max(waited[0][1], streamed[0][1]) - asked < AT_ONCE


def test_many_are_cancelled_by_a_filter_and_the_way_there_is_told(tmp_path: Path) -> None:
    with running(tmp_path, "--no-worker") as service:
        lines = b"".join(
            json.dumps({"type": "noop", "input": n, "queue": "many"}).encode() + b"\n"
            for n in range(3_000)
        )
        headers = {"Content-Type": "application/x-ndjson"}
        reply = service.http.post("/jobs", content=lines, headers=headers)
        assert (reply.json()["created"], reply.json()["failed"]) == (3_000, 0)
        spared = service.post("noop")
        asked = {"filter": {"queue": "many"}, "dry_run": True}
        assert service.http.post("/jobs/cancel", json=asked).json()["matched"] == 3_000
        asked["dry_run"] = False
        headers = {"Accept": "application/x-ndjson"}
        with service.http.stream("POST", "/jobs/cancel", json=asked, headers=headers) as told:
            progress = [json.loads(line) for line in told.iter_lines()]
        assert [step["done"] for step in progress] == sorted(step["done"] for step in progress)
        assert len(progress) >= 3
        assert progress[-1]["done"] == 3_000
        assert progress[-1]["finished"]
        assert service.get(spared)["state"] == "queued"
