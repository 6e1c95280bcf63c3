"""Two services and two workers on one SQLite file: nothing is lost, run twice, or late.

JOBS says how many jobs (JOBS=50000 takes a minute or two).
"""

import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from .processes import ENVIRONMENT, PATIENCE, Service, running, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

JOBS = int(os.environ.get("JOBS", "4000"))
ARRAY = 1_000
PINGS = 60
TASKS = """
import os, time
from trio_jobs import Ctx, Jobs

app = Jobs()
LEDGER = os.open("executions", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

@app.job()
async def note(ctx: Ctx) -> None:
    os.write(LEDGER, f"{ctx.job_id} {os.getpid()}\\n".encode())

@app.job()
async def ping() -> float:
    return time.time()
"""


@contextmanager
def worker(directory: Path, number: int) -> Iterator[subprocess.Popen[bytes]]:
    log = directory / f"worker-{number}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "trio_jobs", "worker", "tasks:app"],
            cwd=directory,
            env=ENVIRONMENT,
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: "working on" in log.read_text())
        yield process
        assert "locked" not in log.read_text()
    finally:
        process.kill()
        process.wait()


def test_two_services_and_two_workers_share_a_file(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    with ExitStack() as stack:
        services = [
            stack.enter_context(running(tmp_path, "tasks:app", "--no-worker", "--shared"))
            for _ in range(2)
        ]
        workers = [stack.enter_context(worker(tmp_path, number)) for number in range(2)]
        delays = sorted(wake_up(services[number % 2]) for number in range(PINGS))
        posted: list[str] = []
        for start in range(0, JOBS, ARRAY):
            service = services[start // ARRAY % 2]
            answer = service.http.post("/jobs", json=[{"type": "note"}] * min(ARRAY, JOBS - start))
            posted += [job["id"] for job in answer.json()["jobs"]]
        until(lambda: done(services[0]) == JOBS + PINGS, 10 * PATIENCE)
        for process in workers:
            process.terminate()
            assert process.wait(PATIENCE) == 0
        for service in services:
            service.signal()
            assert service.exit_code() == 0
            assert "locked" not in service.log
    ran = [line.split() for line in (tmp_path / "executions").read_text().splitlines()]
    assert Counter(id_ for id_, _ in ran) == Counter(posted)
    assert len({pid for _, pid in ran}) == 2, "both have worked"
    p99 = statistics.quantiles(delays, n=100)[98]
    assert p99 < 0.2, f"{p99:.3f} s"  # 50 ms is promised, on a machine of one's own


def wake_up(service: Service) -> float:
    """Seconds from a post at a service until a worker in another process has the job."""
    start = time.time()
    job = service.http.post("/jobs", json={"type": "ping", "wait": 10}).json()
    return float(job["output"] - start)


def done(service: Service) -> int:
    counts: dict[str, int] = service.http.get("/queues/default").json()["jobs"]
    return counts.get("done", 0)
