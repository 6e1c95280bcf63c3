"""`trio-jobs worker`: a second process at the database of a service."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trio_jobs.cli.worker import DECIDED, OF_HTTP
from trio_jobs.config import Settings

from ..processes import ENVIRONMENT, PATIENCE, SERVE, running, until

WORKER = (sys.executable, "-m", "trio_jobs", "worker")
TASKS = """
import trio
from trio_jobs import Jobs

app = Jobs()

@app.job()
async def add(numbers: list[int]) -> int:
    return sum(numbers)

@app.job()
async def slow() -> None:
    await trio.sleep(60)
"""

HELD = """
async def held():
    with trio.CancelScope(shield=True):
        await trio.sleep(60)
"""


@contextmanager
def working(
    directory: Path, *options: str, says: str = "working on trio-jobs.db"
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that is ready; killed in the end if it still runs."""
    log = directory / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*WORKER, "tasks:app", *options],
            cwd=directory,
            env=ENVIRONMENT,
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: says in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_worker_runs_what_a_service_without_workers_takes(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    with running(tmp_path, "tasks:app", "--shared", "--no-worker") as service:
        id_ = service.post("add", [1, 2])
        with working(tmp_path) as worker:
            assert service.wait_for(id_, "done")["output"] == 3
            left = service.post("slow")
            service.wait_for(left, "running")
            worker.send_signal(signal.SIGTERM)
            worker.send_signal(signal.SIGINT)  # in a hurry: the job goes back, uncharged
            assert worker.wait(PATIENCE) == 0
        job = service.wait_for(left, "queued")
        assert job["attempt"] == 0


def test_a_worker_elsewhere_needs_nothing_but_the_url(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for directory in (here, there):
        directory.mkdir()
    (there / "tasks.py").write_text(TASKS)
    with running(here, "--no-worker", "--remote-types", "add,slow") as service:
        id_ = service.post("add", [1, 2])
        with working(there, "--server", service.url, says="working for http") as worker:
            assert service.wait_for(id_, "done")["output"] == 3
            left = service.post("slow")
            service.wait_for(left, "running")
            worker.send_signal(signal.SIGTERM)
            worker.send_signal(signal.SIGINT)
            assert worker.wait(PATIENCE) == 0
        job = service.wait_for(left, "queued")
        assert (job["attempt"], list(there.glob("*.db*"))) == (0, [])


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--server", "nowhere"], 2, "not the URL of a service"),
        (["--server", "http://127.0.0.1:1", "--database", "a.db"], 2, "exclude each other"),
    ],
)
def test_a_worker_works_in_one_place(
    tmp_path: Path, options: list[str], code: int, said: str
) -> None:
    done = subprocess.run(
        [*WORKER, *options], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_a_worker_that_is_not_let_in_says_why(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    with running(tmp_path):
        pass  # makes the database
    subprocess.run(
        (*WORKER[:-1], "token", "create", "boss", "--scope", "admin", "--database", "sqlite:///trio-jobs.db"),
        cwd=tmp_path, env=ENVIRONMENT, check=True, capture_output=True,
    )  # fmt: skip
    with running(tmp_path, "--auth", "required") as service:
        done = subprocess.run(
            [*WORKER, "tasks:app", "--server", service.url],
            cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True,
        )  # fmt: skip
    assert (done.returncode, "token" in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_third_signal_ends_a_worker_at_once(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS.replace("trio.sleep(60)", "held()") + HELD)
    with running(tmp_path, "tasks:app", "--shared", "--no-worker") as service:
        id_ = service.post("slow")
        with working(tmp_path) as worker:
            service.wait_for(id_, "running")
            for _ in range(3):
                worker.send_signal(signal.SIGTERM)
                time.sleep(0.1)  # signals of one number that come together are one
            assert worker.wait(PATIENCE) == 130


def test_a_service_that_shares_nothing_is_named_with_the_setting(tmp_path: Path) -> None:
    with running(tmp_path):
        done = subprocess.run(WORKER, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, "--shared" in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_service_that_comes_later_hears_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    with working(tmp_path):
        done = subprocess.run(SERVE, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, "--shared" in done.stderr) == (1, True), done.stderr


def test_a_worker_takes_the_settings_of_a_service_but_those_of_http(tmp_path: Path) -> None:
    names = set(Settings.__dataclass_fields__)
    assert names >= OF_HTTP | DECIDED
    done = subprocess.run(
        [*WORKER, "--bind", "127.0.0.1:1"], env=ENVIRONMENT, capture_output=True, text=True
    )
    assert (done.returncode, "No such option" in done.stderr) == (2, True)
    wrong = subprocess.run(
        [*WORKER, "nothing:app"], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert (wrong.returncode, "no module 'nothing'" in wrong.stderr) == (2, True), wrong.stderr


def test_a_worker_imports_no_http_server() -> None:
    code = (
        "import sys, trio_jobs.cli.worker as w, trio_jobs.runtime\n"
        "from trio_jobs.registry import Registry\n"
        "trio_jobs.runtime.Runtime(w.Settings(), Registry([]), on_ready=print, http=False)\n"
        "print(*{'quart', 'hypercorn', 'trio_jobs.http'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
