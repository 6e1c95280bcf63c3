"""`trio-jobs top`."""

import io
import sys
import time
from contextlib import redirect_stderr
from typing import Any, NamedTuple

import click

from ..clock import from_rfc3339
from .durations import DURATION
from .exits import Exit, fail
from .output import table
from .place import Place, place_options
from .screen import other_screen
from .short_ids import short

MOST_RUNNING = 20
MOST_FAILURES = 10
LOOKED_AT = 50  # failed jobs, the newest ones, of which those that failed last are shown
SHORTEST = 0.1
ENDED = ("done", "failed", "cancelled")


@click.command()
@click.option(
    "--interval", type=DURATION, default=2.0, metavar="DURATION", help="Between two looks."
)
@place_options
def top(interval: float, place: Place) -> None:
    """Watch queues, running jobs and failures, until q or Ctrl-C.

    Without a terminal, show them once. Rates are what the counts have grown by between two looks.
    """
    if interval < SHORTEST:
        fail(f"--interval: {SHORTEST:g} seconds or more", Exit.USAGE)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        for line in _lines(_look(place), None):
            click.echo(line)
        return
    said = io.StringIO()  # what is said on the other screen would be gone with it
    try:
        with other_screen() as screen, redirect_stderr(said):
            before = None
            while True:
                look = _look(place)
                head, *lines = _lines(look, before, most_queues=max(3, screen.height // 3))
                screen.show([f"{head}  q quits", *lines])
                before = look
                if "q" in screen.keys(interval):
                    return
    finally:
        click.echo(said.getvalue(), err=True, nl=False)


class Look(NamedTuple):
    """How things stand at a moment, as on the wire."""

    at: float
    queues: list[dict[str, Any]]
    running: list[Any]
    failed: list[Any]

    @property
    def ended(self) -> dict[str, int]:
        """Per queue, the jobs that have ended and are not pruned yet."""
        return {
            queue["name"]: sum(queue["jobs"][state] for state in ENDED) for queue in self.queues
        }


def _look(place: Place) -> Look:
    failed = place.list_jobs({"state": "failed"}, LOOKED_AT)
    failed.sort(key=lambda job: str(job["finished_at"]), reverse=True)
    running = place.list_jobs({"state": "running"}, MOST_RUNNING)
    return Look(time.time(), place.queues(), running, failed[:MOST_FAILURES])


def _lines(look: Look, before: Look | None, most_queues: int | None = None) -> list[str]:
    """What is to be seen; of the queues, those with most to do when they are too many."""
    shown = sorted(look.queues, key=_unfinished, reverse=True)[:most_queues]
    queues = table(
        ("queue", "queued", "scheduled", "running", "failed", "ended/s", "oldest", ""),
        [_queue(queue, look, before) for queue in shown],
    )
    if hidden := len(look.queues) - len(shown):
        queues.append(f"and {hidden:,} more")
    running = table(
        ("running", "type", "queue", "attempt", "for", "progress"),
        [_running(job, look.at) for job in look.running],
    )
    failed = table(
        ("failed", "type", "queue", "ago", "error"), [_failed(job, look.at) for job in look.failed]
    )
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(look.at))
    return [f"trio_jobs  {clock}", "", *queues, "", *running, "", *failed]


def _unfinished(queue: dict[str, Any]) -> int:
    return sum(n for state, n in queue["jobs"].items() if state not in ENDED)


def _queue(queue: dict[str, Any], look: Look, before: Look | None) -> list[str]:
    name, jobs = queue["name"], queue["jobs"]
    rate = ""
    if before is not None:
        grown = look.ended[name] - before.ended.get(name, 0)
        rate = f"{max(0, grown) / max(look.at - before.at, 0.001):.1f}"
    return [
        name,
        *(f"{jobs[state]:,}" for state in ("queued", "scheduled", "running", "failed")),
        rate,
        f"{queue['latency']:.0f} s" if queue["oldest_due_at"] else "",
        "paused" if queue["paused"] else "",
    ]


def _running(job: dict[str, Any], now: float) -> list[str]:
    attempt = f"{job['attempt']} of {job['max_attempts']}"
    return [
        *(short(job["id"]), job["type"], job["queue"], attempt),
        _since(job["started_at"], now),
        _progress(job["progress"]),
    ]


def _failed(job: dict[str, Any], now: float) -> list[str]:
    error = job["error"]
    said = f"{error['type']}: {error['message']}" if error else job["reason"] or ""
    return [
        *(short(job["id"]), job["type"], job["queue"]),
        _since(job["finished_at"], now),
        " ".join(said.split()),
    ]


def _since(moment: str | None, now: float) -> str:
    return "" if moment is None else f"{max(0.0, now - from_rfc3339(moment)):.0f} s"


def _progress(progress: dict[str, Any] | None) -> str:
    if progress is None:
        return ""
    share = f" ({progress['done'] / progress['total']:.0%})" if progress["total"] else ""
    return f"{progress['done']:g}{share} {progress['note'] or ''}".rstrip()
