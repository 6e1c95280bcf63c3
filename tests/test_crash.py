"""kill -9, and what an acknowledgement is worth then: real processes, a real file, real time."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.slow

LOAD_TEST = Path(__file__).parents[1] / "scripts" / "load_test.py"
SERVE = ["-m", "trio_jobs", "serve", "--database", "sqlite:///jobs.db", "--data-dir", "data"]
PATIENCE = 30.0  # seconds; nothing here takes that long unless it hangs
RESUMED = 2.0  # seconds from a restart until what ran at the kill runs again: PROMISES


class Server:
    """A server over the database in one directory, started as often as it is killed."""

    def __init__(self, directory: Path, program: list[str]) -> None:
        self._directory = directory
        self._program = program
        self._starts = 0
        self.bind = "127.0.0.1:0"
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self._directory / f"log-{self._starts}").read_text(errors="replace")

    def launch(self) -> subprocess.Popen[bytes]:
        """A process; whether it ever serves is another question."""
        self._starts += 1
        with (self._directory / f"log-{self._starts}").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self._program, "--bind", self.bind],
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.process

    def start(self) -> None:
        """Returns when it serves; each start after the first is on the first one's port."""
        process = self.launch()

        def is_serving() -> bool:
            assert process.poll() is None, self.log
            return "serving on" in self.log

        until(is_serving)
        found = re.search(r"serving on (http://([^\s\"]+))", self.log)
        assert found is not None
        self.url, self.bind = found[1], found[2]

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        assert self.process.wait(PATIENCE) == -signal.SIGKILL


def until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Looks until the condition holds; a failure when it takes longer than `patience`."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.01)


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(program: list[str]) -> Server:
        servers.append(Server(tmp_path, program))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        assert server.process is not None
        server.process.kill()
        server.process.wait(PATIENCE)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        yield client


def is_final(job: dict[str, Any]) -> bool:
    return job["status"] in ("done", "failed")


def seconds(rfc3339: str) -> float:
    return datetime.fromisoformat(rfc3339).timestamp()


@pytest.mark.parametrize(
    "load",
    [
        ["--rate", "150", "--type", "sleep", "--input", '{"seconds": 0.2}'],
        ["--rate", "400", "--type", "noop", "--batch", "10"],
    ],
    ids=["one-by-one", "arrays"],
)
def test_kills_under_load_lose_no_acknowledged_job(
    start_server: Callable[..., Server], client: httpx.Client, load: list[str]
) -> None:
    dice = random.Random(load[-1])
    server = start_server(SERVE)
    command = [sys.executable, str(LOAD_TEST), "--server", server.url, "--seconds", "3", "--json"]
    with subprocess.Popen([*command, *load], stdout=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: bool(client.get(f"{server.url}/jobs?limit=1").json()["jobs"]))
            for _ in range(2):  # a third one could make poison of a job that met all three
                with pytest.raises(subprocess.TimeoutExpired):  # the load goes on
                    process.wait(dice.uniform(0.05, 0.5))
                server.kill()
                server.start()
            out, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    report = json.loads(out)
    # The ledger is the load test's own: what it names here was promised and not kept.
    assert report["audit"]["faults"] == {}
    assert process.returncode == 0
    assert report["errors"], "no post met a dead server: what was tested?"
    assert report["audit"]["states"] == {"done": report["accepted"]}


def test_what_ran_at_the_kill_runs_again_within_two_seconds_of_the_restart(
    start_server: Callable[..., Server], client: httpx.Client
) -> None:
    server = start_server(SERVE)
    orders = [{"type": "sleep", "input": {"seconds": 1.5}}] * 20
    jobs = client.post(f"{server.url}/jobs", json=orders).json()["jobs"]
    ids = [job["id"] for job in jobs]

    def read() -> list[dict[str, Any]]:
        return [client.get(f"{server.url}/jobs/{id_}").json() for id_ in ids]

    until(lambda: {job["status"] for job in read()} == {"running"})
    server.kill()
    restarted = time.time()
    server.start()
    until(
        lambda: all(job["started_at"] and seconds(job["started_at"]) > restarted for job in read())
    )
    again = read()
    assert max(seconds(job["started_at"]) for job in again) - restarted < RESUMED
    until(lambda: all(map(is_final, read())))
    # Nobody's attempt is used up by a crash that was not its fault.
    assert {(job["state"], job["attempt"]) for job in read()} == {("done", 1)}


BOMB_SERVER = """
import os, sys
import trio
from trio_jobs.config import Settings
from trio_jobs.builtin import noop
from trio_jobs.registry import Handler, Registry
from trio_jobs.runtime import Runtime

async def explode(input, ctx):
    os._exit(9)

settings = Settings(bind=sys.argv[-1], database="sqlite:///jobs.db", data_dir="data")
registry = Registry([noop.handler(), Handler("bomb", explode)])
ready = lambda urls: print("serving on", urls[0], flush=True)
trio.run(Runtime(settings, registry, on_ready=ready).run)
"""


def test_a_job_that_kills_its_process_is_quarantined_after_three_crashes(
    start_server: Callable[..., Server], client: httpx.Client
) -> None:
    server = start_server(["-c", BOMB_SERVER])
    url = f"{server.url}/jobs"
    # Due a moment later, for the answer to be out before the process is gone.
    bomb = client.post(url, json={"type": "bomb", "delay": 0.3}).json()["id"]
    assert server.process is not None
    assert server.process.wait(PATIENCE) == 9
    for _ in range(2):
        assert server.launch().wait(PATIENCE) == 9, server.log
    server.start()
    until(lambda: is_final(client.get(f"{url}/{bomb}").json()))
    job = client.get(f"{url}/{bomb}").json()
    assert (job["state"], job["reason"]) == ("failed", "poison")
    after = client.post(url, json={"type": "noop"}).json()["id"]
    until(lambda: client.get(f"{url}/{after}").json()["state"] == "done")


def test_a_job_that_kills_its_process_does_not_take_those_beside_it_along(
    start_server: Callable[..., Server], client: httpx.Client
) -> None:
    server = start_server(["-c", BOMB_SERVER])
    url = f"{server.url}/jobs"
    orders = [{"type": type_, "delay": 0.5} for type_ in ("noop", "noop", "bomb", "noop", "noop")]
    ids = [job["id"] for job in client.post(url, json=orders).json()["jobs"]]
    assert server.process is not None
    assert server.process.wait(PATIENCE) == 9
    for _ in range(2):
        assert server.launch().wait(PATIENCE) == 9, server.log
    server.start()

    def read() -> list[dict[str, Any]]:
        return [client.get(f"{url}/{id_}").json() for id_ in ids]

    until(lambda: all(map(is_final, read())))
    assert [job["state"] for job in read()] == ["done", "done", "failed", "done", "done"]
    assert read()[2]["reason"] == "poison"
    assert read()[2]["error"]["type"] == "Crashed"
