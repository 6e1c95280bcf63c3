#!/usr/bin/env python3
"""Load a trio_jobs server of this machine, measure it, and audit that no job got lost.

    scripts/load_test.py --spawn --jobs 20000 --clients 64
    scripts/load_test.py --server http://127.0.0.1:8080 --rate 200 --seconds 30

Closed loop (--jobs): each client posts again as soon as it has its answer. Open loop (--rate):
posts are due at fixed times, and latencies count from when a post was due, however late it left:
a server that stalls cannot hide the posts it kept waiting.

The audit keeps its own ledger: each acknowledged id is read back, twice, when the load is over,
and must have ended once. Exit codes: 0 ok; 1 the audit failed, nothing was acknowledged, or a
spawned server did not stop well; 2 usage; 3 no server there; 130 interrupted.
"""

import argparse
import importlib.util
import ipaddress
import json
import math
import os
import sys
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

try:
    import httpx
    import trio
except ImportError:
    venv = Path(__file__).resolve().parents[1] / ".venv"
    if Path(sys.prefix) == venv or not (venv / "bin/python").exists():
        sys.exit("trio and httpx are missing: run this with the Python that has trio_jobs")
    os.execv(venv / "bin/python", [str(venv / "bin/python"), *sys.argv])

from load_testing import posting, report, servers
from load_testing.audit import NOT_FINAL, UNREAD, Job, audit
from load_testing.plan import Plan, Tally

NAMED = 20  # ids that are named for each fault of an audit
BAR = 30


def arguments() -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--server", metavar="URL", help="a running server, of this machine only")
    add("--spawn", action="store_true", help="start a server for the run (TRIO_JOBS_* apply)")
    add("--jobs", type=int, metavar="M", help="closed loop: how many jobs (default 1000)")
    add("--clients", type=int, default=16, metavar="N", help="connections (default 16)")
    add("--rate", type=float, metavar="R", help="open loop: jobs that are due per second")
    add("--seconds", type=float, default=10.0, metavar="S", help="… for how long (default 10)")
    add("--batch", type=int, default=0, metavar="B", help="post arrays of B jobs")
    add("--processes", type=int, default=1, metavar="P", help="spread the clients over processes")
    add("--type", default="noop", help="type of the jobs (default noop)")
    add("--input", type=json.loads, default={}, metavar="JSON", help="their input (default {})")
    add("--settle-timeout", type=float, default=60.0, metavar="S", help="wait for jobs to end (60)")
    add("--compare-echo", action="store_true", help="measure a bare quart-trio echo as well")
    add("--progress", action="store_true", help="progress on stderr, even if it is no terminal")
    add("--json", action="store_true", help="one JSON object on stdout")
    add("--plot", metavar="FILE", help="latencies as a picture: .svg or .png")
    add("--child", help=argparse.SUPPRESS)
    add("--echo-server", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child or args.echo_server:
        return args
    if args.spawn == bool(args.server):
        parser.error("give one of --spawn and --server URL")
    if args.server and not is_loopback(args.server):
        parser.error(f"{args.server} is not an http:// URL of this machine: load stays on loopback")
    if args.rate is not None and args.jobs is not None:
        parser.error("--jobs is a closed loop and --rate an open one: give one of them")
    if args.rate is not None:
        args.jobs = math.ceil(args.rate * args.seconds)
    args.jobs = 1000 if args.jobs is None else args.jobs
    if min(args.jobs, args.clients, args.processes) < 1 or args.batch < 0:
        parser.error("--jobs, --rate, --clients and --processes must be positive, --batch too")
    if args.processes > min(args.clients, args.jobs):
        parser.error("each of --processes needs a client and a job")
    if args.plot and Path(args.plot).suffix not in (".svg", ".png"):
        parser.error("--plot FILE must end in .svg or .png")
    if args.plot and importlib.util.find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib: pip install 'trio-jobs[plot]'")
    return args


def is_loopback(url: str) -> bool:
    """Whether `url` is plain HTTP to this machine, by its address and not by a look-up."""
    parts = urlsplit(url)
    try:
        host = ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        return parts.scheme == "http" and parts.hostname == "localhost"
    return parts.scheme == "http" and host.is_loopback


async def run(args: argparse.Namespace) -> int:
    """The exit code of a whole run, however it ends."""
    stop = trio.Event()
    code = 130  # a second Ctrl-C cancels, before there is a report
    async with trio.open_nursery() as nursery:
        nursery.start_soon(posting.on_signals, stop, nursery.cancel_scope)
        try:
            code = await measure(args, stop)
        except servers.NotServing as error:
            print(f"load_test.py: {error}", file=sys.stderr)
            code = 3
        nursery.cancel_scope.cancel()
    return code


async def measure(args: argparse.Namespace, stop: trio.Event) -> int:
    """Load, audit, comparison, report; returns the exit code."""
    async with AsyncExitStack() as stack:
        server = None
        if args.spawn:
            server = await stack.enter_async_context(servers.running(servers.SERVICE))
        url = server.url if server else args.server.rstrip("/")
        await check_ready(url)
        job = {"type": args.type, "input": args.input}
        plan = Plan(f"{url}/jobs", job, args.jobs, args.clients, args.batch, args.rate or 0.0)
        tally = await load(plan, args, stop, "load")
        ids = [id_ for ack in tally.acks for id_ in ack.ids]
        if shows_progress(args):
            print(f"audit: reading {len(ids):,} jobs back", file=sys.stderr)
        jobs, faults = await audit(plan.url, ids, args.clients, args.settle_timeout, stop)
    figures = report.figures(tally, jobs)
    echo, ratio = None, None
    if args.compare_echo and not stop.is_set():
        echo = report.figures(await load_echo(plan, args, stop), {})
        ratio = round(figures["accepted_per_s"] / max(echo["accepted_per_s"], 0.1), 2)
    found = {
        "load": how(args),
        "machine": report.machine(),
        "interrupted": stop.is_set(),
        **figures,
        "echo": echo,
        "echo_ratio": ratio,
        "audit": verdict(ids, jobs, faults, interrupted=stop.is_set()),
        "server_exit": server.process.returncode if server else None,
    }
    print(json.dumps(found) if args.json else "\n".join(report.sentences(found)), flush=True)
    if args.plot:
        report.plot(args.plot, found["load"], tally, jobs)
    if not found["audit"]["ok"] or found["server_exit"]:
        return 1
    return 130 if found["interrupted"] else 0


async def load_echo(plan: Plan, args: argparse.Namespace, stop: trio.Event) -> Tally:
    """The same load on a bare quart-trio app, to measure by."""
    async with servers.running(servers.ECHO) as server:
        return await load(replace(plan, url=f"{server.url}/jobs", echo=True), args, stop, "echo")


def how(args: argparse.Namespace) -> str:
    """The load in one line."""
    loop = f"open loop, {args.rate:g} jobs/s due" if args.rate else "closed loop"
    posts = f"arrays of {args.batch}" if args.batch else "one job a post"
    processes = f"{args.processes} load process{'es' * (args.processes > 1)}"
    return (
        f"{args.jobs:,} jobs of type {args.type}, {loop}, {args.clients} clients in {processes}, "
        f"{posts}"
    )


def shows_progress(args: argparse.Namespace) -> bool:
    """Whether somebody looks at stderr, or asked for it."""
    return bool(args.progress) or sys.stderr.isatty()


async def check_ready(url: str) -> None:
    """Raises NotServing unless a server is there and takes jobs."""
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{url}/readyz")
    except httpx.HTTPError as error:
        raise servers.NotServing(f"no server at {url}: {error or type(error).__name__}") from None
    if answer.status_code != 200:
        raise servers.NotServing(f"{url}/readyz says {answer.status_code}: {answer.text[:300]}")


async def load(plan: Plan, args: argparse.Namespace, stop: trio.Event, name: str) -> Tally:
    """The plan from as many processes as asked for, under a progress bar."""
    tally = Tally()
    async with trio.open_nursery() as nursery:
        if shows_progress(args):
            nursery.start_soon(show_progress, name, tally, plan.jobs)
        if args.processes == 1:
            await posting.post_all(plan, tally, stop)
        else:
            await posting.post_from_processes(plan.share(args.processes), tally, stop)
        nursery.cancel_scope.cancel()
    return tally


async def show_progress(name: str, tally: Tally, jobs: int) -> None:
    """A bar that is redrawn in its line until cancelled, and then once more."""
    started = trio.current_time()

    def draw() -> None:
        bar = "#" * (BAR * tally.accepted // jobs)
        rate = tally.accepted / max(trio.current_time() - started, 0.1)
        errors = f", {tally.errors.total():,} errors" if tally.errors else ""
        text = f"{name} [{bar:{BAR}}] {tally.accepted:,}/{jobs:,} {rate:,.0f}/s{errors}"
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)

    try:
        await posting.every(0.2, draw)
    finally:
        draw()
        print(file=sys.stderr)


def verdict(
    ids: list[str], jobs: dict[str, Job], faults: dict[str, list[str]], *, interrupted: bool
) -> dict[str, Any]:
    """The audit's part of the report. After Ctrl-C, what there was no time for is no fault."""
    excused = (UNREAD, NOT_FINAL) if interrupted else ()
    named = {
        fault: {"count": len(found), "ids": found[:NAMED]}
        for fault, found in faults.items()
        if fault not in excused
    }
    read = [job for job in jobs.values() if job["answer"] == 200]
    return {
        "ok": not named and (bool(ids) or interrupted),
        "acknowledged": len(ids),
        "states": dict(Counter(job["state"] for job in read)),
        "retried": sum((job["attempt"] or 0) > 1 for job in read),
        "unverified": sum(len(faults.get(fault, ())) for fault in excused),
        "faults": named,
    }


def main() -> int:
    """The command, and the two things it starts itself as."""
    args = arguments()
    if args.echo_server:
        trio.run(servers.serve_echo)
        return 0
    if args.child:
        trio.run(posting.be_a_child, Plan(**json.loads(args.child)))
        return 0
    return trio.run(run, args)


if __name__ == "__main__":
    sys.exit(main())
