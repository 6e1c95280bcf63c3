"""More than there is room for: what cannot be taken is refused at once, and all else goes on."""

import json
import multiprocessing
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from .processes import Service, running

CLIENTS = 64
SECONDS = 5.0
AT_ONCE = {"ready": 0.1, "job": 0.3}
"""Seconds; a job is stored, claimed and settled, one after the other."""
ROOM = 100

pytestmark = pytest.mark.slow


def flood(port: int, heads: Any) -> None:
    """Clients that never wait, in a process of their own; puts what they were answered."""
    body = json.dumps({"type": "noop", "queue": "full", "input": "x" * 2_000}).encode()
    asked = (
        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body
    answers: Counter[tuple[bytes, bool]] = Counter()

    async def client() -> None:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            while True:
                await stream.send_all(asked)
                head = (await stream.receive_some(65_536)).lower()
                answers[head[:12], b"\r\nretry-after: 1\r\n" in head] += 1

    async def all_of_them() -> None:
        with trio.move_on_after(SECONDS):
            async with trio.open_nursery() as nursery:
                for _ in range(CLIENTS):
                    nursery.start_soon(client)

    trio.run(all_of_them)
    heads.put(answers)


def memory(service: Service) -> float:
    """MB."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1_000


def test_a_flood_into_a_full_queue_is_refused_and_nobody_else_feels_it(tmp_path: Path) -> None:
    times: dict[str, list[float]] = {"ready": [], "job": []}
    spawn = multiprocessing.get_context("spawn")
    heads = spawn.Queue()
    with running(tmp_path, "--max-queued", str(ROOM)) as service:
        waiting = [{"type": "noop", "queue": "full", "delay": 3600}] * ROOM
        ids = [job["id"] for job in service.http.post("/jobs", json=waiting).json()["jobs"]]
        before = memory(service)
        process = spawn.Process(target=flood, args=(urlsplit(service.url).port, heads))
        process.start()
        while process.is_alive() and heads.empty():
            start = time.perf_counter()
            assert service.http.get("/readyz").status_code == 200
            times["ready"].append(time.perf_counter() - start)
            start = time.perf_counter()
            job = service.http.post("/jobs?wait=5", json={"type": "noop", "queue": "free"}).json()
            times["job"].append(time.perf_counter() - start)
            assert job["state"] == "done"
            time.sleep(0.02)
        answers = heads.get(timeout=SECONDS)
        process.join()
        grown = memory(service) - before
        assert set(answers) == {(b"http/1.1 503", True)}
        assert answers.total() > 1_000
        assert service.http.get("/queues/full").json()["jobs"]["scheduled"] == ROOM
        assert grown < 30
        for name, seconds in times.items():
            late = sorted(seconds)[len(seconds) * 95 // 100]
            assert late <= AT_ONCE[name], name

        service.http.post(f"/jobs/{ids[0]}/cancel").raise_for_status()
        time.sleep(0.3)
        assert service.http.post("/jobs", json=waiting[0]).status_code == 201
        assert service.http.post("/jobs", json=waiting[0]).status_code == 503
