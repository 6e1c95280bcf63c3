"""What a load run says at its end: figures, sentences, a picture."""

import math
import os
import platform
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
from plotting import pyplot

from .audit import Job
from .plan import Tally

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
NOTES = (
    "note: the load generator is httpx, which ends at one or two thousand requests a second per",
    "      core and shares the cores with the server: a lower bound for what the server can do",
    "note: POST -> done is the job's finished_at minus the time when its POST left (open loop: was",
    "      due), two readings of this machine's one clock; a quick job may be done before its 201",
    "      has been read",
)


def until_done(tally: Tally, jobs: dict[str, Job]) -> list[float]:
    """For each job that is done, the seconds since its post left or was due."""
    return [
        datetime.fromisoformat(job["finished_at"]).timestamp() - ack.began
        for ack in tally.acks
        for job in (jobs.get(id_, {}) for id_ in ack.ids)
        if job.get("status") == "done" and job["finished_at"]
    ]


def figures(tally: Tally, jobs: dict[str, Job]) -> dict[str, Any]:
    """What was measured, for `--json`; latencies in milliseconds."""
    done = [job for job in jobs.values() if job.get("status") == "done" and job["finished_at"]]
    done_per_s = None
    if done:
        first = datetime.fromisoformat(min(job["created_at"] for job in done))
        last = datetime.fromisoformat(max(job["finished_at"] for job in done))
        done_per_s = round(len(done) / max((last - first).total_seconds(), 1e-3), 1)
    return {
        "accepted": tally.accepted,
        "seconds": round(tally.seconds, 3),
        "accepted_per_s": round(tally.accepted / max(tally.seconds, 1e-3), 1),
        "done_per_s": done_per_s,
        "post_ms": _percentiles([ack.seconds for ack in tally.acks]),
        "done_ms": _percentiles(until_done(tally, jobs)),
        "errors": dict(tally.errors.most_common()),
    }


def _percentiles(seconds: list[float]) -> dict[str, float] | None:
    """Nearest rank: each figure is one that was measured."""
    if not seconds:
        return None
    ranked = sorted(seconds)
    rank = {name: math.ceil(share * len(ranked)) - 1 for name, share in QUANTILES.items()}
    return {name: round(ranked[index] * 1000, 2) for name, index in rank.items()}


def machine() -> str:
    """Where the figures are from."""
    python = f"Python {platform.python_version()}, httpx {httpx.__version__}"
    return f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, {python}"


def sentences(report: dict[str, Any]) -> Iterator[str]:
    """The report for a person, line by line."""
    yield f"{report['load']}"
    yield f"on {report['machine']}"
    if report["interrupted"]:
        yield "interrupted: this is what there is"
    yield from _speed("trio_jobs", report)
    if report["echo"] is not None:
        yield from _speed("bare quart-trio echo on stock hypercorn", report["echo"])
        yield f"trio_jobs / echo: {report['echo_ratio']} (accepted/s, each job on disk by then)"
    yield from NOTES
    audit = report["audit"]
    states = [f"{count:,} {state}" for state, count in audit["states"].items()]
    if audit["retried"]:
        states.append(f"{audit['retried']:,} of them after a retry")
    acknowledged = f"{audit['acknowledged']:,}" if audit["acknowledged"] else "nothing"
    yield (
        f"audit: {'ok' if audit['ok'] else 'FAILED'}: {acknowledged} acknowledged"
        f"{': ' if states else ''}{', '.join(states)}"
    )
    if audit["unverified"]:
        yield f"  {audit['unverified']:,} not verified: there was no time to see them end"
    for fault, found in audit["faults"].items():
        more = ", …" if found["count"] > len(found["ids"]) else ""
        yield f"  {found['count']:,} {fault}: {', '.join(found['ids'])}{more}"
    if report["server_exit"]:
        yield f"the server did not stop well: exit code {report['server_exit']}"


def _speed(name: str, figures: dict[str, Any]) -> Iterator[str]:
    done = f", {figures['done_per_s']:,.0f} done/s" if figures["done_per_s"] else ""
    yield (
        f"{name}: {figures['accepted_per_s']:,.0f} accepted/s{done} "
        f"({figures['accepted']:,} in {figures['seconds']:,.1f} s)"
    )
    for key, label in (("post_ms", "POST -> answer"), ("done_ms", "POST -> done  ")):
        if figures[key] is not None:
            yield f"  {label}  " + "  ".join(f"{q} {ms:,.1f} ms" for q, ms in figures[key].items())
    errors = ", ".join(f"{count:,} x {kind}" for kind, count in figures["errors"].items())
    yield f"  errors: {errors or 'none'}"


def plot(path: str, title: str, tally: Tally, jobs: dict[str, Job]) -> None:
    """Latency by percentile, as SVG or PNG by the file's name."""
    figure, axes = pyplot().subplots(figsize=(9, 5), layout="constrained")
    posts = [ack.seconds for ack in tally.acks]
    for label, values in (("POST → 201", posts), ("POST → done", until_done(tally, jobs))):
        shares = [100 * (rank + 1) / len(values) for rank in range(len(values))]
        axes.plot(shares, sorted(max(value * 1000, 0.01) for value in values), label=label)
    axes.set(xlabel="percentile", ylabel="ms", yscale="log", xlim=(0, 100))
    axes.set_title(title, fontsize="small")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path)
