#!/usr/bin/env python3
"""Mixed traffic for a long time: does memory stay flat, does the event loop stay quick?

    scripts/soak_http.py [--seconds 600] [--rate 300] [--seed 1]

Starts a service of its own and asks it everything at once: single posts, arrays, uploads, reads,
lists, bad requests, clients that leave in mid-request, clients that read slowly. Once a second the
service reports its memory, descriptors, tasks and the lag of its event loop (how much too late a
10 ms sleep ends). Exits 1 when the lag's p99 exceeds 25 ms, memory grew by more than a tenth
between the first and the last third, or an acknowledged job was lost.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import trio

from trio_jobs.builtin import handlers
from trio_jobs.cli.daemon import tune_process
from trio_jobs.config import Settings
from trio_jobs.registry import Registry
from trio_jobs.runtime import Runtime

MAX_LAG_MS = 25.0
MAX_GROWTH = 1.10
LOOK = 0.01
SELF = str(Path(__file__).resolve())
JSON = {"Content-Type": "application/json"}


# ── the service, with a gauge in its event loop ───────────────────────────────────────────────


async def serve() -> None:
    tune_process()
    settings = Settings(bind="127.0.0.1:0", shutdown_grace=5)
    runtime = Runtime(
        settings, Registry(handlers(settings)), on_ready=lambda urls: print(urls[0], flush=True)
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_gauge)
        await runtime.run()
        nursery.cancel_scope.cancel()


async def _gauge() -> None:
    lags: list[float] = []
    next_report = trio.current_time() + 1
    while True:
        before = trio.current_time()
        await trio.sleep(LOOK)
        lags.append(trio.current_time() - before - LOOK)
        if trio.current_time() >= next_report:
            next_report += 1
            statm = Path("/proc/self/statm").read_text().split()  # noqa: ASYNC240 - memory
            report = {
                "lags_ms": [round(lag * 1e3, 2) for lag in lags],
                "rss_mb": int(statm[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6,
                "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
                "tasks": trio.lowlevel.current_statistics().tasks_living,
            }
            print(json.dumps(report), flush=True)
            lags.clear()


# ── the traffic ───────────────────────────────────────────────────────────────────────────────


class Traffic:
    """Requests of all kinds, drawn from a seed; `acknowledged` are the ids of 201s."""

    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self._dice = random.Random(seed)
        self._http = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)
        self.acknowledged: list[str] = []
        self.answers: Counter[str] = Counter()
        self._kinds = [
            (self._post, 40),
            (self._read, 30),
            (self._array, 4),
            (self._upload, 4),
            (self._list, 6),
            (self._bad, 6),
            (self._leave, 5),
            (self._slow, 5),
        ]

    async def run(self, rate: float, seconds: float) -> None:
        """Starts `rate` requests a second, whatever becomes of them."""
        kinds, weights = zip(*self._kinds, strict=True)
        end = trio.current_time() + seconds
        async with self._http, trio.open_nursery() as nursery:
            while trio.current_time() < end:
                kind = self._dice.choices(kinds, weights)[0]
                nursery.start_soon(self._counted, kind)
                await trio.sleep(self._dice.expovariate(rate))

    async def lost(self) -> list[str]:
        """Acknowledged jobs that did not end as done."""
        missing = set(self.acknowledged)
        async with httpx.AsyncClient(base_url=self._url, trust_env=False) as http:
            give_up = trio.current_time() + 60
            while missing and trio.current_time() < give_up:
                for id_ in list(missing):
                    job = (await http.get(f"/jobs/{id_}")).json()
                    if job.get("status") == "done":
                        missing.discard(id_)
                await trio.sleep(0.1)
        return sorted(missing)

    async def _counted(self, kind: Any) -> None:
        name = kind.__name__.strip("_")
        try:
            self.answers[f"{name} {await kind()}"] += 1
        except (httpx.TransportError, trio.BrokenResourceError, OSError) as error:
            self.answers[f"{name} {type(error).__name__}"] += 1

    def _job(self) -> dict[str, Any]:
        size = self._dice.choice((1, 10, 100, 1_000, 20_000))
        return {"type": "noop", "input": {"text": "x" * size}}

    async def _post(self) -> int:
        reply = await self._http.post("/jobs", json=self._job())
        if reply.status_code == 201 and len(self.acknowledged) < 20_000:
            self.acknowledged.append(reply.json()["id"])
        return reply.status_code

    async def _array(self) -> int:
        jobs = [{"type": "noop"} for _ in range(self._dice.randint(1, 100))]
        return (await self._http.post("/jobs", json=jobs)).status_code

    async def _upload(self) -> int:
        data = self._dice.randbytes(self._dice.choice((0, 1_000, 500_000)))
        params = {"type": "process_file", "operation": "checksum"}
        return (await self._http.post("/jobs", params=params, content=data)).status_code

    async def _read(self) -> int:
        if not self.acknowledged:
            return 0
        return (await self._http.get(f"/jobs/{self._dice.choice(self.acknowledged)}")).status_code

    async def _list(self) -> int:
        return (await self._http.get("/jobs", params={"limit": 100})).status_code

    async def _bad(self) -> int:
        body = self._dice.choice((b"{", b"[]", b'{"type":"nope"}', b"\xff" * 1_000, b"7"))
        return (await self._http.post("/jobs", content=body, headers=JSON)).status_code

    async def _leave(self) -> str:
        """Sends a part of a request and goes."""
        stream = await self._connected()
        request = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
        await stream.send_all(request[: self._dice.randint(0, len(request))])
        await stream.aclose()
        return "left"

    async def _slow(self) -> str:
        """Asks for much and reads it in sips."""
        stream = await self._connected()
        async with stream:
            await stream.send_all(b"GET /jobs?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5)
            for _ in range(20):
                await stream.receive_some(512)
                await trio.sleep(0.05)
        return "left"

    async def _connected(self) -> trio.SocketStream:
        host, port = self._url.removeprefix("http://").split(":")
        return await trio.open_tcp_stream(host, int(port))


# ── the run ───────────────────────────────────────────────────────────────────────────────────


async def soak(seconds: float, rate: float, seed: int) -> int:
    with tempfile.TemporaryDirectory() as directory:
        process = await trio.lowlevel.open_process(
            [sys.executable, SELF, "--serve"],
            cwd=directory,
            stdout=subprocess.PIPE,
        )
        reports: list[dict[str, Any]] = []
        try:
            async with trio.open_nursery() as nursery:
                url = await nursery.start(partial(_read_reports, process, reports))
                traffic = Traffic(url, seed)
                await traffic.run(rate, seconds)
                lost = await traffic.lost()
                process.send_signal(signal.SIGTERM)
                exit_code = await process.wait()
        finally:
            process.kill()
    return _judge(reports, traffic, lost, exit_code)


async def _read_reports(process: Any, reports: list[dict[str, Any]], *, task_status: Any) -> None:
    buffer, started = b"", False
    async for data in process.stdout:
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            if not started:
                task_status.started(line.decode())
                started = True
                continue
            report = json.loads(line)
            reports.append(report)
            print(
                f"\r  {len(reports)} s: {report['rss_mb']:.0f} MB, {report['descriptors']} "
                f"descriptors, lag {max(report['lags_ms'], default=0):.1f} ms   ",
                end="",
                file=sys.stderr,
            )


def _judge(reports: list[dict[str, Any]], traffic: Traffic, lost: list[str], exit_code: int) -> int:
    lags = sorted(lag for report in reports for lag in report["lags_ms"])
    p99 = lags[int(len(lags) * 0.99)]
    third = max(1, len(reports) // 3)
    first = statistics.median(report["rss_mb"] for report in reports[:third])
    last = statistics.median(report["rss_mb"] for report in reports[-third:])
    print(f"\n{sum(traffic.answers.values()):,} requests in {len(reports)} s")
    for answer, count in sorted(traffic.answers.items()):
        print(f"  {answer:<28} {count:>9,}")
    print(f"memory: {first:.0f} MB in the first third, {last:.0f} MB in the last")
    print(f"descriptors: {reports[-1]['descriptors']}, tasks: {reports[-1]['tasks']} at the end")
    print(
        f"event loop lag: p50 {statistics.median(lags):.2f} ms, p99 {p99:.2f}, max {lags[-1]:.2f}"
    )
    print(f"acknowledged jobs watched: {len(traffic.acknowledged):,}, lost: {len(lost)}")
    # A short run has not filled its caches yet: then only a doubling is suspicious.
    allowed = MAX_GROWTH if len(reports) >= 120 else 2.0
    faults = [
        name
        for name, wrong in {
            f"lag p99 above {MAX_LAG_MS} ms": p99 > MAX_LAG_MS,
            "memory grows": last > first * allowed,
            f"lost: {lost[:20]}": lost,
            f"exit code {exit_code}": exit_code != 0,
            "5xx": any(" 5" in answer for answer in traffic.answers),
        }.items()
        if wrong
    ]
    print("FAILED: " + "; ".join(faults) if faults else "ok")
    return 1 if faults else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rate", type=float, default=300)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        trio.run(serve)
    else:
        print(f"seed {arguments.seed}, {arguments.rate:g} requests/s", file=sys.stderr)
        sys.exit(trio.run(soak, arguments.seconds, arguments.rate, arguments.seed))
