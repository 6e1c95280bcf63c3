"""A service under strace, and its load."""

import os
import random
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from . import strace
from .answers import Json
from .fleet import free_port, until_it_serves

DATABASE = Path("data", "jobs.db")  # in a directory that the service makes
POSTERS = 4
MOST = 40  # jobs in an array
TASKS = """
from typing import Any
import trio
from trio_jobs import Jobs

app = Jobs()


@app.job()
async def work(p: dict[str, Any]) -> dict[str, Any]:
    await trio.sleep(p["seconds"])
    return p
"""


@dataclass
class Ledger:
    """What clients were told: the inputs of the jobs that were acknowledged, by their ids."""

    inputs: dict[str, Json] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledged(self, jobs: list[Json], inputs: list[Json]) -> int:
        """How many there are by now."""
        with self.lock:
            self.inputs.update(zip((job["id"] for job in jobs), inputs, strict=True))
            return len(self.inputs)


class Poster(threading.Thread):
    """Posts until `goal` jobs are acknowledged, and looks at some when they are done.

    One that posts arrays says so; others post job after job.
    """

    def __init__(self, name: str, url: str, ledger: Ledger, goal: int, *, arrays: bool) -> None:
        super().__init__(name=name, daemon=True)
        self._url = url
        self._ledger = ledger
        self._goal = goal
        self._arrays = arrays
        self._dice = random.Random(name)
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with httpx.Client(base_url=self._url, timeout=60, trust_env=False) as http:
                number = 0
                while self._post(http, f"{self.name}-{number}") < self._goal:
                    number += 1
        except Exception as error:  # it is raised in the main thread
            self.error = error

    def _post(self, http: httpx.Client, name: str) -> int:
        dice = self._dice
        count = dice.randint(2, MOST) if self._arrays else 1
        inputs = [
            {
                "array": name,
                "of": count,
                "seconds": dice.choice((0,) * 40 + (1.5,)),  # long enough for the heartbeat
                "text": dice.randbytes(dice.choice((5, 50, 500, 5_000))).hex(),
            }
            for _ in range(count)
        ]
        orders = [{"type": "work", "input": input_} for input_ in inputs]
        answer = http.post("/jobs", json=orders if self._arrays else orders[0])
        answer.raise_for_status()
        jobs = answer.json()["jobs"] if self._arrays else [answer.json()]
        total = self._ledger.acknowledged(jobs, inputs)
        for job in dice.sample(jobs, min(3, count)):
            http.get(f"/jobs/{job['id']}?wait=5").raise_for_status()
        return total


def observe(
    directory: Path, record: Path, database: Path, durability: str, jobs: int
) -> dict[str, Json]:
    """Starts a service in `directory`, loads it, and stops it in order; strace writes `record`.

    The inputs of all jobs that were acknowledged, by their ids. Raises Unusable when it fails.
    """
    (directory / "tasks.py").write_text(TASKS)
    log, port = directory / "log", free_port()
    program = [
        *(sys.executable, "-m", "trio_jobs", "serve", "tasks:app", "--lease", "3"),
        *("--bind", f"127.0.0.1:{port}", "--database", f"sqlite:///{database}"),
        *("--durability", durability, "--concurrency", "32", "--keep", "done=forever"),
    ]
    with log.open("ab") as output:
        process = subprocess.Popen(
            strace.command(program, record),
            cwd=directory,
            stdout=output,
            stderr=output,
            start_new_session=True,  # both are killed then: strace's death would set it free
        )
    try:
        url = f"http://127.0.0.1:{port}"
        until_it_serves(url, log)
        ledger = _load(url, jobs)
        lock = database.with_name(database.name + ".lock")
        os.kill(int(lock.read_text()), signal.SIGTERM)
        code = process.wait(60)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if code:
        raise strace.Unusable(f"it stopped with {code}: {log.read_text()[-2000:]}")
    return ledger.inputs


def _load(url: str, jobs: int) -> Ledger:
    ledger = Ledger()
    posters = [Poster(f"p{n}", url, ledger, jobs, arrays=n == 0) for n in range(POSTERS)]
    for poster in posters:
        poster.start()
    for poster in posters:
        poster.join()
        if poster.error is not None:
            raise strace.Unusable(f"the load failed: {poster.error!r}") from poster.error
    return ledger
