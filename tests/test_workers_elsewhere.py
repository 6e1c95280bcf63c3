"""The workers in scripts/workers, one a language, against a real service."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .processes import ENVIRONMENT, PATIENCE, Service, running, until

SCRIPTS = Path(__file__).parent.parent / "scripts/workers"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SCRIPTS.exists(), reason="scripts are in no wheel"),
]


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"there is no {program}")
    return found


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """The program in Go."""
    program = tmp_path_factory.mktemp("go") / "worker"

    def compile_() -> str:
        if not program.exists():
            build = [need("go"), "build", "-o", str(program), str(SCRIPTS / "worker.go")]
            subprocess.run(build, check=True, env={**os.environ, "GO111MODULE": "off"})
        return str(program)

    return compile_


@pytest.fixture(scope="module", params=["sh", "mjs", "go"])
def command(request: pytest.FixtureRequest, compiled: Callable[[], str]) -> list[str]:
    if request.param == "go":
        return [compiled()]
    if request.param == "mjs":
        return [need("node"), str(SCRIPTS / "worker.mjs")]
    need("curl")
    return [need("bash"), str(SCRIPTS / "worker.sh")]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("service"), "--remote-types", "demo") as service:
        yield service


@pytest.fixture
def worker(command: list[str], service: Service) -> Iterator[subprocess.Popen[bytes]]:
    """A worker, once it is known to the service."""
    before = set(names(service))
    environment = ENVIRONMENT | {"TRIO_JOBS_SERVER": service.url, "no_proxy": "*"}
    process = subprocess.Popen([*command, "demo"], env=environment, stdin=subprocess.DEVNULL)
    try:
        until(lambda: set(names(service)) - before)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def names(service: Service) -> list[str]:
    return [worker["name"] for worker in service.http.get("/workers").json()["remote"]]


def name_of(service: Service, process: subprocess.Popen[bytes]) -> str:
    [name] = [name for name in names(service) if name.endswith(f"/{process.pid}")]
    return name


def seen_at(service: Service, process: subprocess.Popen[bytes]) -> str:
    workers = service.http.get("/workers").json()["remote"]
    [at] = [one["seen_at"] for one in workers if one["name"].endswith(f"/{process.pid}")]
    return str(at)


def test_it_does_a_job_and_another_one(service: Service, worker: Any) -> None:
    for _ in range(2):
        job = service.wait_for(service.post("demo"), "done")
        assert job["output"]["by"]


def test_a_job_that_fails_says_why(service: Service, worker: Any) -> None:
    id_ = service.post("demo", {"fail": "the disk is full"}, max_attempts=1)
    job = service.wait_for(id_, "failed")
    assert job["error"]["message"] == "the disk is full"


def test_it_keeps_a_job_that_takes_longer_than_its_lease(service: Service, worker: Any) -> None:
    id_ = service.post("demo", {"seconds": 12})
    job = until(lambda: (found := service.get(id_))["state"] == "done" and found, 60)
    assert job["attempt"] == 1
    attempts = service.http.get(f"/jobs/{id_}/attempts").json()["attempts"]
    # The claim of a worker that was killed a moment ago may have got it first.
    mine = [one for one in attempts if one["worker"] == name_of(service, worker)]
    assert [one["outcome"] for one in mine] == ["done"]


def test_it_stops_a_job_that_is_cancelled(service: Service, worker: Any) -> None:
    id_ = service.post("demo", {"seconds": 600})
    service.wait_for(id_, "running")
    service.http.post(f"/jobs/{id_}/cancel")
    assert service.wait_for(id_, "cancelled")["reason"] == "cancelled"
    service.wait_for(service.post("demo"), "done")


def test_it_leaves_when_it_is_told_to(service: Service, worker: Any) -> None:
    told = service.http.post("/workers/stop", json={"workers": [name_of(service, worker)]})
    assert told.status_code == 200, told.text
    assert worker.wait(PATIENCE) == 0


def test_it_ends_what_it_has_when_it_is_terminated(service: Service, worker: Any) -> None:
    id_ = service.post("demo", {"seconds": 3})
    service.wait_for(id_, "running")
    claimed_at = seen_at(service, worker)
    until(lambda: seen_at(service, worker) > claimed_at)  # its heartbeat: the answer has come
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 0
    assert service.get(id_)["state"] == "done"


def test_it_leaves_at_once_when_it_has_nothing_to_do(service: Service, worker: Any) -> None:
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    late = service.post("demo")
    assert service.get(late)["state"] == "queued"
    service.http.post(f"/jobs/{late}/cancel")


def test_they_are_short_and_say_how_to_start_them() -> None:
    for script in SCRIPTS.iterdir():
        text = script.read_text()
        assert script.name in text.partition("\n\n")[0], json.dumps(script.name)
