"""A disk that is full, slow, or fails."""

import time
from collections.abc import Callable
from pathlib import Path

from .fault import fault
from .load import Answer, Load, slowest, statuses
from .outcome import must
from .service import Service, until
from .stage import Stage

REFUSALS = {503, 507}
RECOVERED = 5.0  # seconds: PROMISES


@fault(
    "the disk is full: a small tmpfs is filled to the last byte under load, and emptied again",
    "reads go on, writes get 503 or 507; again 201 within 5 s, without a restart; nothing is lost",
)
def disk_full(stage: Stage) -> str:
    (stage.directory / "disk").mkdir()
    stage.database = "sqlite:///disk/jobs.db"
    disk = stage.in_namespace("mount -t tmpfs -o size=8m tmpfs disk")
    with stage.serve(before=disk) as on:
        inside = Path(f"/proc/{on.process.pid}/root{stage.directory}/disk/ballast")
        return full_and_empty_again(on, lambda: fill(inside), inside.unlink)


@fault(
    "every write fails with ENOSPC for a while",
    "as before; this one needs a C compiler instead of mounts",
    quick=True,
)
def no_space(stage: Stage) -> str:
    shim = stage.shim()
    with stage.serve(environment=shim.environment) as on:
        return full_and_empty_again(on, lambda: shim.tell(full=1), lambda: shim.tell(full=0))


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def full_and_empty_again(on: Service, fill: Callable[[], None], empty: Callable[[], object]) -> str:
    with Load(on) as load:
        until(lambda: len(on.acknowledged) > 50, "nothing is accepted")
        fill()
        filled = time.monotonic()
        until(lambda: refused(load.posts), "a full disk refuses nobody")
        time.sleep(1)
        empty()
        emptied = time.monotonic()
        again = until(
            lambda: next((p.at for p in load.posts if p.at > emptied and p.status == 201), None),
            "it does not recover",
        )
    seen = [answer for answer in load.posts if filled < answer.at < emptied]
    must(refused(seen), f"posts: {statuses(seen)}")
    must({answer.status for answer in load.reads} == {200}, f"reads: {statuses(load.reads)}")
    must(again - emptied < RECOVERED, f"recovered after {again - emptied:.1f} s")
    return (
        f"full: posts {statuses(seen)}; {len(load.reads)} reads, all 200; "
        f"201 again after {again - emptied:.2f} s; {on.sound()}"
    )


def refused(posts: list[Answer]) -> bool:
    """There were refusals, and no other failures."""
    failures = {answer.status for answer in posts} - {201}
    return bool(failures) and failures <= REFUSALS


@fault(
    "one fsync fails with EIO under load",
    "nothing is acknowledged any more and the process exits with 70; nothing is lost",
    quick=True,
)
def failed_fsync(stage: Stage) -> str:
    return failing_once(stage, "failing_syncs")


@fault(
    "one write fails with EIO under load",
    "nothing is acknowledged any more and the process exits with 70; nothing is lost",
)
def failed_write(stage: Stage) -> str:
    return failing_once(stage, "failing_writes")


def failing_once(stage: Stage, what: str) -> str:
    shim = stage.shim()
    with stage.serve(environment=shim.environment) as on, Load(on) as load:
        until(lambda: len(on.acknowledged) > 50, "nothing is accepted")
        shim.tell(**{what: 1})
        until(lambda: not shim.left(what), "nobody wrote")
        failed = time.monotonic()
        seconds = on.must_end(70, 3)
    # What was on its way back to its caller was on disk before.
    late = [answer for answer in load.posts if answer.status == 201 and answer.at > failed + 0.2]
    must(not late, f"{len(late)} jobs were acknowledged after it")
    with stage.serve() as on:
        return f"exit 70 after {seconds:.2f} s; started again: {on.sound()}"


@fault(
    "every fsync takes 300 ms",
    "posts wait for one or two of them, together; reads do not wait at all",
)
def slow_fsync(stage: Stage) -> str:
    shim = stage.shim()
    with stage.serve(environment=shim.environment) as on:
        shim.tell(sync_delay=300)
        with Load(on) as load:
            time.sleep(4)
        shim.tell(sync_delay=0)
        must({answer.status for answer in load.posts} == {201}, f"posts: {statuses(load.posts)}")
        must(slowest(load.posts) < 2, f"a post took {slowest(load.posts):.2f} s")
        must(slowest(load.reads) < 0.25, f"a read took {slowest(load.reads):.2f} s")
        return (
            f"slowest of {len(load.posts)} posts {slowest(load.posts):.2f} s, "
            f"of {len(load.reads)} reads {slowest(load.reads):.3f} s; {on.sound()}"
        )
