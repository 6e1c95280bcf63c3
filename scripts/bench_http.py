#!/usr/bin/env python3
"""How fast HTTP is: our edge and hot calls beside stock hypercorn and Quart, in one run.

    scripts/bench_http.py [--seconds 3] [--rounds 3] [--connections 1,64,256]

Every server runs in a process of its own, and so does the load: wrk where it is installed, else a
raw-socket client of this script. The rounds alternate between the servers, and medians are shown,
so that whatever else the machine does hits all of them. The real server stores every job with
fsync before it answers, and runs them (they are no-ops) at the same time.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import httpx
import hypercorn.trio
import trio
from hypercorn.config import Config
from quart import Response, request
from quart_trio import QuartTrio

from trio_jobs import __version__
from trio_jobs.config import Settings
from trio_jobs.http import edge

JOB = b'{"type":"noop","input":{"n":1}}'
BASELINE = "empty app, stock hypercorn"


@dataclass(frozen=True)
class Target:
    """One row of the table. `jobs` is how many jobs a request carries."""

    name: str
    server: str
    method: str = "GET"
    path: str = "/"
    body: bytes = b""
    jobs: int = 1


TARGETS = [
    Target(BASELINE, "empty-stock"),
    Target("empty app, our edge", "empty-edge"),
    Target("Quart echo, stock hypercorn", "quart-stock", "POST", "/", JOB),
    Target("Quart echo, our edge", "quart-edge", "POST", "/", JOB),
    Target("POST /jobs", "real", "POST", "/jobs", JOB),
    Target("POST /jobs, array of 100", "real", "POST", "/jobs", b"", 100),
    Target("POST /jobs, array of 1,000", "real", "POST", "/jobs", b"", 1_000),
    Target("GET /jobs/{id}", "real", "GET", "/jobs/{id}"),
]


# ── the servers ───────────────────────────────────────────────────────────────────────────────


async def empty(scope: Any, receive: Any, send: Any) -> None:
    """The least an ASGI app can do."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            await send({"type": (await receive())["type"] + ".complete"})
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


def quart_echo() -> Any:
    app = QuartTrio("echo")

    @app.post("/")
    async def echo() -> Response:
        return Response(
            json.dumps(json.loads(await request.get_data())), mimetype="application/json"
        )

    return app


async def serve(kind: str) -> None:
    """Serves until killed; its address is the first line on stdout."""
    app = empty if kind.startswith("empty") else quart_echo()
    async with trio.open_nursery() as nursery:
        if kind.endswith("edge"):
            settings = Settings(bind="127.0.0.1:0")
            addresses = await nursery.start(_on_edge, app, settings)
        else:
            config = Config()
            config.bind = ["127.0.0.1:0"]
            config.errorlog = None
            addresses = await nursery.start(_on_stock, app, config)
        print(addresses[0], flush=True)


async def _on_edge(app: Any, settings: Settings, *, task_status: Any) -> None:
    await edge.serve(app, settings, task_status=task_status)


async def _on_stock(app: Any, config: Config, *, task_status: Any) -> None:
    await hypercorn.trio.serve(app, config, task_status=task_status)


@contextmanager
def running(kind: str, directory: Path) -> Iterator[str]:
    """The URL of a server in a process of its own."""
    if kind == "real":
        options = ["serve", "--bind", "127.0.0.1:0", "--max-body", "2000000"]
        command = [sys.executable, "-m", "trio_jobs", *options]
    else:
        command = [sys.executable, __file__, "--serve", kind]
    log = directory / f"{kind}.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=directory, stdout=output, stderr=output)
    try:
        give_up = time.monotonic() + 20
        while not (found := re.search(r"(?:serving on |^)(http://[\d.:]+)", log.read_text(), re.M)):
            if process.poll() is not None or time.monotonic() > give_up:
                raise SystemExit(f"the {kind} server did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM if kind == "real" else signal.SIGKILL)
        process.wait()


# ── the load ──────────────────────────────────────────────────────────────────────────────────


def load(url: str, target: Target, connections: int, seconds: float) -> float:
    """Requests per second; ends the run when any answer is not a 2xx."""
    if shutil.which("wrk"):
        return _wrk(url, target, connections, seconds)
    command = [sys.executable, __file__, "--client", url, str(connections), str(seconds)]
    asked = json.dumps([target.method, target.path, target.body.decode()])
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _wrk(url: str, target: Target, connections: int, seconds: float) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            f"wrk.method = '{target.method}'\n"
            f"wrk.body = [==[{target.body.decode()}]==]\n"
            "wrk.headers['Content-Type'] = 'application/json'\n"
        )
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
        done = subprocess.run(
            [*command, "-s", script.name, url + target.path],
            capture_output=True,
            text=True,
            check=True,
        )
    if "Non-2xx" in done.stdout:
        raise SystemExit(f"{target.name}: not every answer was a 2xx\n{done.stdout}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])  # type: ignore[index]


async def client(url: str, connections: int, seconds: float) -> None:
    """A closed loop on raw sockets, for machines without wrk; prints requests per second."""
    method, path, body = json.loads(sys.stdin.read())
    host, port = url.removeprefix("http://").split(":")
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    asked = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    done = 0

    async def one() -> None:
        nonlocal done
        stream = await trio.open_tcp_stream(host, int(port))
        buffer = b""
        while True:
            await stream.send_all(asked)
            while (end := buffer.find(b"\r\n\r\n")) < 0:
                buffer += await stream.receive_some(65_536)
            if buffer[9:10] != b"2":
                raise SystemExit(f"not a 2xx: {buffer!r}")
            length = int(re.search(rb"content-length: (\d+)", buffer[:end].lower())[1])  # type: ignore[index]
            while len(buffer) < end + 4 + length:
                buffer += await stream.receive_some(1 << 20)
            buffer = buffer[end + 4 + length :]
            done += 1

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for _ in range(connections):
                nursery.start_soon(one)
    print(done / seconds)


# ── the table ─────────────────────────────────────────────────────────────────────────────────


def prepared(target: Target, urls: dict[str, str]) -> Target:
    """With its body, and the id of a job that exists."""
    if target.jobs > 1:
        body = b"[" + b",".join([JOB] * target.jobs) + b"]"
        return Target(target.name, target.server, "POST", "/jobs", body, target.jobs)
    if "{id}" in target.path:
        headers = {"Content-Type": "application/json"}
        job = httpx.post(urls["real"] + "/jobs", content=JOB, headers=headers, trust_env=False)
        path = target.path.replace("{id}", job.json()["id"])
        return Target(target.name, target.server, "GET", path)
    return target


def settle(url: str) -> None:
    """Waits until the real server has run what it was given: a row must not pay for another's."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        page = httpx.get(url + "/jobs?status=pending&limit=1", trust_env=False).json()
        if not page["jobs"]:
            return
        time.sleep(0.2)


def main(seconds: float, rounds: int, connections: list[int]) -> None:
    generator = "wrk" if shutil.which("wrk") else "raw sockets"
    print(
        f"trio_jobs {__version__}, Python {platform.python_version()}, trio {trio.__version__}, "
        f"SQLite {apsw.sqlite_lib_version()}, {os.cpu_count()} cores, {platform.machine()}; "
        f"durability=full; load: {generator}, {rounds} rounds of {seconds:g} s, medians"
    )
    rates: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        kinds = dict.fromkeys(target.server for target in TARGETS)
        urls = {kind: stack.enter_context(running(kind, Path(directory))) for kind in kinds}
        targets = [prepared(target, urls) for target in TARGETS]
        for round_ in range(rounds):
            for count in connections:
                for target in targets:
                    print(f"\r  round {round_ + 1}: {target.name:<40}", end="", file=sys.stderr)
                    rate = load(urls[target.server], target, count, seconds)
                    rates.setdefault((target.name, count), []).append(rate)
                    if target.server == "real":
                        settle(urls["real"])
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    print(f"{'requests/s (jobs/s) at connections':<36}" + "".join(f"{n:>24}" for n in connections))
    for target in targets:
        cells = []
        for count in connections:
            rate = statistics.median(rates[target.name, count])
            ratio = rate / statistics.median(rates[BASELINE, count])
            jobs = f" ({rate * target.jobs:,.0f})" if target.jobs > 1 else ""
            cells.append(f"{rate:,.0f}{jobs} {ratio:5.2f}x".rjust(24))
        print(f"{target.name:<36}" + "".join(cells))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", default="1,64,256")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--client", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        if arguments.serve:
            trio.run(serve, arguments.serve)
        elif arguments.client:
            url, count, seconds = arguments.client
            trio.run(client, url, int(count), float(seconds))
        else:
            counts = [int(n) for n in arguments.connections.split(",")]
            main(arguments.seconds, arguments.rounds, counts)
    except KeyboardInterrupt:
        sys.exit(130)
