"""What handlers do badly stays theirs: other jobs, other processes and the API go on."""

import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from ..processes import Service, running, until

pytestmark = pytest.mark.slow

TASKS = """
import time
from trio_jobs import Jobs

app = Jobs()

@app.job()
async def block() -> str:
    time.sleep(5)
    return "woke up"

@app.job()
def nap() -> None:
    time.sleep(0.01)

@app.job()
async def quick() -> int:
    return 1
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


def test_a_handler_that_blocks_the_loop_is_named_and_costs_no_lease(directory: Path) -> None:
    options = ("tasks:app", "--shared", "--lease", "10")
    with running(directory, *options, "--concurrency", "1") as first:
        id_ = first.post("block")
        until(lambda: first_claimed(directory))
        start = time.monotonic()
        until(lambda: "blocked" in first.log and "time.sleep(5)" in first.log)
        assert time.monotonic() - start < 1.5
        with running(directory, *options) as second:
            for _ in range(20):
                done = second.wait_for(second.post("quick"), "done")
                assert done["attempt"] == 1
            job = second.wait_for(id_, "done")
        assert (job["attempt"], job["output"]) == (1, "woke up")
        assert "lease" not in first.log


def first_claimed(directory: Path) -> bool:
    import apsw

    db = apsw.Connection(str(directory / "trio-jobs.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return bool(db.execute("select count(*) from jobs where state = 'running'").get)
    finally:
        db.close()


def test_a_thousand_jobs_in_threads_hold_up_no_post(directory: Path) -> None:
    with running(directory, "tasks:app", "--threads", "8") as service:
        assert service.http.post("/jobs", json=[{"type": "nap"}] * 1_000).status_code == 201
        seconds = [taken(service) for _ in range(300)]
        assert service.http.get("/queues/default").json()["jobs"]["queued"]  # it was beside them
        counts = until(lambda: all_done(service))
        assert counts["done"] == 1_300
    p99 = statistics.quantiles(seconds, n=100)[98]
    assert p99 < 0.1, f"{p99:.3f} s"  # 25 ms is promised, on a machine of one's own


def taken(service: Service) -> float:
    start = time.perf_counter()
    service.post("quick")
    return time.perf_counter() - start


def all_done(service: Service) -> Any:
    counts = service.http.get("/queues/default").json()["jobs"]
    return None if counts.get("queued") or counts.get("running") else counts
