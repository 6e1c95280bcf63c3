"""`--processes N`: one port, whoever of them dies, and one end for all."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from ..processes import ENVIRONMENT, PATIENCE, SERVE, Service, running, until
from .test_reload import is_gone

COMMAND = (sys.executable, "-m", "trio_jobs")


def children(service: Service) -> set[int]:
    threads = Path(f"/proc/{service.process.pid}/task").glob("*/children")
    return {int(pid) for thread in threads for pid in thread.read_text().split()}


def starts(service: Service) -> int:
    return len(re.findall("serving on", service.log))


@pytest.mark.slow
def test_they_share_a_port_replace_their_dead_and_end_together(tmp_path: Path) -> None:
    with running(tmp_path, "--processes", "3") as service:
        until(lambda: starts(service) == 3)
        first = children(service)
        assert len(first) == 3
        ids = [service.post("noop") for _ in range(60)]
        os.kill(min(first), signal.SIGKILL)
        ids += [_posted(service) for _ in range(60)]  # a connection of the dead one is lost
        until(lambda: starts(service) == 4)
        second = children(service)
        assert len(second & first) == 2
        assert "another takes its place" in service.log
        for id_ in ids:
            assert until(lambda id_=id_: _get(service, id_))["status"] == "done"
        service.signal(signal.SIGINT)
        assert service.exit_code() == 0, service.log
        assert all(map(is_gone, first | second))


def _posted(service: Service) -> str:
    while True:
        try:
            return service.post("noop")
        except httpx.TransportError:
            service.http.close()
            service.http = httpx.Client(base_url=service.url, timeout=PATIENCE, trust_env=False)


def _get(service: Service, id_: str) -> object:
    job = service.get(id_)
    return job if job["status"] == "done" else None


@pytest.mark.slow
def test_they_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with running(tmp_path, "--processes", "2") as service:
        until(lambda: starts(service) == 2)
        orphans = children(service)
        service.process.kill()
        until(lambda: all(map(is_gone, orphans)))


def test_what_one_cannot_do_the_others_do_not_try_again_and_again(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("from trio_jobs import Jobs\napp = Job()\n")
    for arguments, code in ((("no:module",), 2), (("broken:app",), 1)):
        command = (*SERVE, "--processes", "2", *arguments)
        done = subprocess.run(
            command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        assert "another takes" not in done.stderr


def test_a_port_that_is_taken_is_said_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        command = (*COMMAND, "serve", "--processes", "2", "--bind", bind)
        done = subprocess.run(
            command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
        )
    assert (done.returncode, done.stderr) == (
        1,
        f"Error: cannot serve on {bind}: Address already in use\n",
    )


def test_an_inherited_socket_must_be_what_bind_says(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        bind = f"127.0.0.1:{sock.getsockname()[1]}"
        for wrong, sentence in (
            (("--listen-fd", str(sock.fileno())), f"listens on {bind}; set bind to that"),
            (("--listen-fd", "99", "--bind", bind), "99 is no socket"),
        ):
            done = subprocess.run(
                (*COMMAND, "serve", *wrong), cwd=tmp_path, env=ENVIRONMENT, capture_output=True,
                text=True, pass_fds=(sock.fileno(),),
            )  # fmt: skip
            assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr


@pytest.mark.slow
def test_workers_come_in_crews_too(tmp_path: Path) -> None:
    with running(tmp_path, "--no-worker", "--shared") as service:
        log = tmp_path / "workers.log"
        with log.open("wb") as output:
            workers = subprocess.Popen(
                (*COMMAND, "worker", "--processes", "2"),
                cwd=tmp_path, env=ENVIRONMENT, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            for id_ in [service.post("noop") for _ in range(20)]:
                service.wait_for(id_, "done")
            until(lambda: log.read_text().count("working on") == 2)
            workers.terminate()
            assert workers.wait(PATIENCE) == 0
        finally:
            workers.kill()
            workers.wait()
