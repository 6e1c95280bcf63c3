"""A PostgreSQL that hangs, loses connections, or has no more of them."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from .fault import fault
from .load import Answer, Load, slowest, statuses
from .outcome import must
from .service import until
from .stage import Stage

TOLD = 3.0  # seconds within which callers are told: PROMISES
BACK = 5.0
CROWD = "crowd"
KILL = f"""
    select count(pg_terminate_backend(pid)) from pg_stat_activity
    where pid <> pg_backend_pid() and datname = current_database()
      and backend_type = 'client backend' and application_name <> '{CROWD}'
"""


def connected(stage: Stage, name: str = "") -> Any:
    import psycopg  # which only these faults need

    return psycopg.connect(stage.database, autocommit=True, application_name=name)


def asked(stage: Stage, sql: str) -> list[int]:
    """The first column of the answer."""
    with connected(stage) as db:
        return [int(row[0]) for row in db.execute(sql)]


@contextmanager
def frozen(stage: Stage) -> Iterator[None]:
    """All processes of the server are stopped: connections stay open, and nobody answers."""
    child = asked(stage, "select pid from pg_stat_activity where pid <> pg_backend_pid()")[0]
    postmaster = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(postmaster, signal.SIGSTOP)  # it starts no more of them
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
    everyone = [postmaster, *map(int, children.split())]
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in everyone:
            os.kill(pid, signal.SIGCONT)


def told_in_time(stage: Stage, harm: Callable[[Stage], object], *, within: float = TOLD) -> str:
    """While there is harm all are told so in time, and when it is over all is well again."""
    with stage.serve() as on:
        on.sound()
        with Load(on) as load:
            until(lambda: len(on.acknowledged) > 20, "nothing is accepted")
            harm(stage)
            over = time.monotonic()
            back = until(lambda: first_taken(load.posts, over), "it does not recover") - over
            time.sleep(0.5)
        answers = load.posts + load.reads
        must({answer.status for answer in answers} <= {200, 201, 503}, statuses(answers))
        refusals = [answer for answer in answers if answer.status == 503]
        must(slowest(refusals) < within, f"a 503 took {slowest(refusals):.1f} s")
        must(back < BACK, f"recovered after {back:.1f} s")
        return (
            f"{statuses(answers)}; slowest 503 {slowest(refusals):.2f} s, "
            f"201 again after {back:.2f} s; {on.sound()}"
        )


def first_taken(posts: list[Answer], after: float) -> float | None:
    return next((p.at for p in posts if p.status == 201 and p.at - p.seconds > after), None)


@fault(
    "all processes of the server are stopped (SIGSTOP), under load (--pause)",
    "503 within 3 s, no call hangs; it recovers by itself within 5 s, nothing is lost",
)
def pg_frozen(stage: Stage) -> str:
    def freeze(stage: Stage) -> None:
        with frozen(stage):
            time.sleep(stage.pause)

    return f"for {stage.pause:g} s: {told_in_time(stage, freeze)}"


@fault(
    "all backends of the service are killed, four times in 2 s, under load",
    "503 or nothing is noticed; it recovers by itself, nothing is lost",
)
def pg_killed(stage: Stage) -> str:
    def kill(stage: Stage) -> None:
        for _ in range(4):
            [killed] = asked(stage, KILL)
            must(killed, "there was no connection to kill")
            time.sleep(0.5)

    return told_in_time(stage, kill)


@fault(
    "another program locks the table of jobs for 6 s, against readers, too",
    "503 within 5 s (a wait of 2 s, behind another one); it recovers by itself, nothing is lost",
)
def pg_locked(stage: Stage) -> str:
    def lock(stage: Stage) -> None:
        with connected(stage) as db, db.transaction():
            db.execute("lock table jobs in access exclusive mode")
            time.sleep(6)

    return told_in_time(stage, lock, within=5.0)


@fault(
    "all connections of the server are taken by others for 6 s, those of the service, too",
    "503 within 3 s; it recovers by itself, nothing is lost",
)
def pg_full(stage: Stage) -> str:
    def crowd_out(stage: Stage) -> None:
        from psycopg import OperationalError

        end = time.monotonic() + 6
        with ExitStack() as crowd:
            killer = crowd.enter_context(connected(stage, CROWD))
            while time.monotonic() < end:
                killer.execute(KILL)
                with suppress(OperationalError):
                    while True:
                        crowd.enter_context(connected(stage, CROWD))

    return told_in_time(stage, crowd_out)


@fault(
    "all connections of two idle processes are killed, those that listen for news among them",
    "they come back: a job that one process takes is started at once by the other (0.5 s)",
)
def pg_deaf(stage: Stage) -> str:
    with stage.serve("--poll-interval", "30") as worker, stage.serve("--no-worker") as other:
        other.sound()
        [killed] = asked(stage, KILL)
        time.sleep(3)
        start = time.monotonic()
        other.reach(other.post(), "done")
        took = time.monotonic() - start
        must(took < 0.5, f"it was started after {took:.2f} s")
        return f"{killed} killed; done after {took:.2f} s; {worker.sound()}"
