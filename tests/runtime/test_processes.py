"""A service with handlers in processes: however it ends, none of them outlives it."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .. import process_handlers
from ..processes import Service, running, until
from ..test_process import children

pytestmark = pytest.mark.slow

PROGRAM = """
import handlers, trio
from trio_jobs.config import Settings
from trio_jobs.registry import Handler, Registry
from trio_jobs.runtime import Runtime

async def deaf(_input, ctx):
    while True:
        try:
            await trio.sleep(3600)
        except trio.Cancelled:
            pass

settings, _ = Settings.load({"bind": "127.0.0.1:0", "shutdown_grace": 1.5, "job_processes": 2})
registry = Registry([
    Handler(name, getattr(handlers, name), isolation="process")
    for name in ("loop_in_c", "pid")
] + [Handler("say_and_wait", handlers.say_and_wait, input=float, isolation="process"),
     Handler("deaf", deaf)])
runtime = Runtime(
    settings, registry, on_ready=lambda urls: print("serving on", urls[0], flush=True)
)
trio.run(runtime.run)
"""


@contextmanager
def service(directory: Path) -> Iterator[Service]:
    shutil.copy(process_handlers.__file__, directory / "handlers.py")
    with running(directory, command=(sys.executable, "-c", PROGRAM)) as found:
        yield found


def is_gone(pid: int) -> bool:
    """Ended, whether somebody has noticed or not."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def looping(on: Service) -> tuple[str, int]:
    """A job in an endless loop in C, and its process."""
    id_ = on.post("loop_in_c")
    until(lambda: on.get(id_)["progress"])
    return id_, int(on.get(id_)["progress"]["note"].removeprefix("pid "))


def test_a_cancel_over_http_kills_the_process_at_once(tmp_path: Path) -> None:
    with service(tmp_path) as on:
        id_, pid = looping(on)
        start = time.monotonic()
        assert on.http.post(f"/jobs/{id_}/cancel").status_code == 202
        on.wait_for(id_, "cancelled")
        assert time.monotonic() - start < 1
        assert is_gone(pid)
        assert on.wait_for(on.post("pid"), "done")
        assert "Z" not in children(on.process.pid).values()


def test_a_stop_lets_processes_end_their_jobs_and_leaves_none(tmp_path: Path) -> None:
    with service(tmp_path) as on:
        _, looper = looping(on)
        short = on.post("say_and_wait", 1.0)
        until(lambda: on.get(short)["progress"])
        pids = children(on.process.pid).keys() | {looper}
        for pid in pids:  # as systemd does it, and a terminal
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
        on.signal(signal.SIGINT)
        assert on.exit_code() == 0
        assert len(pids) == 2
        assert all(map(is_gone, pids))
    with service(tmp_path) as on:
        assert on.get(short)["state"] == "done"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_service_however_it_went(tmp_path: Path, number: int) -> None:
    with service(tmp_path) as on:
        on.wait_for(on.post("deaf"), "running")
        _, pid = looping(on)
        for _ in range(3):
            on.signal(number)
            time.sleep(0.05)
        assert on.exit_code() == (130 if number == signal.SIGINT else -number)
        until(lambda: is_gone(pid), 1.0)
