#!/usr/bin/env python3
"""How workers elsewhere fare: a thousand that wait for one job, and how many jobs a second.

    scripts/bench_workers.py [--workers 1000] [--jobs 20000] [--idle 5]

Starts a service of its own (without a worker), and asks it over sockets that do nothing else.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

TYPE = "bench"


class Connection:
    """One keep-alive connection; a request and its answer at a time."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._data = b""

    async def post(self, path: str, body: Any) -> Any:
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        await self._stream.send_all(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        come = await self._until(lambda: b"\r\n\r\n" in self._data)
        head_ = come.partition(b"\r\n\r\n")[0]
        length = int(head_.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        size = len(head_) + 4 + length
        await self._until(lambda: len(self._data) >= size)
        answer = self._data[len(head_) + 4 : size]
        self._data = self._data[size:]
        assert head_.startswith(b"HTTP/1.1 2"), answer
        return json.loads(answer)

    async def _until(self, enough: Any) -> bytes:
        while not enough():
            piece = await self._stream.receive_some()
            assert piece, "the service has closed the connection"
            self._data += piece
        return self._data


class Server:
    """`trio-jobs serve` in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        options = ["--bind", "127.0.0.1:0", "--no-worker", "--remote-types", TYPE]
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trio_jobs", "serve", *options],
                cwd=directory,
                stdout=log,
                stderr=log,
            )
        while "serving on http://127.0.0.1:" not in (said := self.log.read_text()):
            assert self.process.poll() is None, said
            time.sleep(0.05)
        self.port = int(said.partition("http://127.0.0.1:")[2].split()[0].strip('",}'))

    async def connect(self) -> Connection:
        return Connection(await trio.open_tcp_stream("127.0.0.1", self.port))

    def memory(self) -> float:
        """Resident, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1e3

    def seconds(self) -> float:
        """CPU time used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def crowd(server: Server, workers: int, idle: float) -> None:
    """All wait; then there is one job."""
    got: list[tuple[int, float]] = []
    many, all_have_one = workers // 2, trio.Event()
    before = server.memory()
    connections = [await server.connect() for _ in range(workers)]
    print(f"{workers} idle connections: {server.memory() - before:.1f} MB")

    async def wait(n: int, connection: Connection) -> None:
        wish = {"worker": f"crowd/{n}", "types": [TYPE], "wait": 55}
        if (await connection.post("/worker/claim", wish))["jobs"]:
            got.append((n, time.perf_counter()))
            if len(got) == many:
                all_have_one.set()

    async with trio.open_nursery() as nursery:
        for n, connection in enumerate(connections):
            nursery.start_soon(wait, n, connection)
        await trio.sleep(3)
        print(f"… that wait for a job: {server.memory() - before:.1f} MB")
        cpu = server.seconds()
        await trio.sleep(idle)
        print(f"… CPU while nothing comes: {(server.seconds() - cpu) / idle:.1%}")
        poster, cpu = await server.connect(), server.seconds()
        for _ in range(10):
            posted = time.perf_counter()
            await poster.post("/jobs", {"type": TYPE})
            await trio.sleep(0.5)
            [(_, at)] = got
            print(f"… one job: one of them has it after {(at - posted) * 1e3:.1f} ms")
            got.clear()
        used = (server.seconds() - cpu) / 10
        print(f"… CPU for such a job, and half a second: {used * 1e3:.0f} ms")
        posted = time.perf_counter()
        await poster.post("/jobs", [{"type": TYPE}] * many)
        await all_have_one.wait()
        took = max(at for _, at in got) - posted
        print(f"… {many} jobs at once: as many have one each after {took * 1e3:.0f} ms")
        nursery.cancel_scope.cancel()


async def throughput(server: Server, workers: int, each: int, jobs: int) -> None:
    """One call a round: ends, and the next claim."""
    poster = await server.connect()
    for start in range(0, jobs, 1_000):
        await poster.post("/jobs", [{"type": TYPE}] * min(1_000, jobs - start))
    left = jobs

    async def work(n: int) -> None:
        nonlocal left
        connection = await server.connect()
        claim = {"types": [TYPE], "max": each}
        ends: list[Any] = []
        while True:
            body = {"worker": f"w/{n}", "jobs": ends, "claim": claim}
            told = await connection.post("/worker/settle", body)
            left -= sum(end["ok"] for end in told["settled"])
            if not told["jobs"]:
                return
            ends = [
                {"id": j["id"], "lease_token": j["lease_token"], "outcome": "done"}
                for j in told["jobs"]
            ]

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for n in range(workers):
            nursery.start_soon(work, n)
    took = time.perf_counter() - began
    assert left == 0, left
    print(f"{workers:4} workers, {each:3} at a time: {jobs / took:8,.0f} jobs/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1_000)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--idle", type=float, default=5.0)
    args = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, fsync on"
    )
    with tempfile.TemporaryDirectory() as directory:
        server = Server(Path(directory))
        try:
            trio.run(crowd, server, args.workers, args.idle)
            for workers, each in ((1, 1), (16, 1), (64, 1), (256, 1), (16, 10), (16, 100)):
                trio.run(throughput, server, workers, each, args.jobs // (1 if workers > 1 else 10))
        finally:
            server.process.terminate()
            server.process.wait()


if __name__ == "__main__":
    main()
