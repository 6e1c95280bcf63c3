"""A database file that is damaged, taken away, or used by others."""

import subprocess
import time
from pathlib import Path

import apsw

from trio_jobs.storage.connection import MAX_IDLE_WAL

from .fault import fault
from .load import Load, slowest, statuses
from .outcome import must
from .service import PATIENCE, Service, last_line, until
from .stage import ENVIRONMENT, Stage

JOBS = 200


def write_some(stage: Stage) -> None:
    """A service ran here, took jobs and was stopped in order."""
    with stage.serve() as on:
        on.http.post("/jobs", json=[{"type": "noop"}] * JOBS).raise_for_status()
        on.sound()
        on.signal()
        on.must_end(0)


def overwrite(file: Path, at: int, size: int = 1_024) -> None:
    with file.open("r+b") as database:
        database.seek(at)
        database.write(b"\xa5" * size)


@fault(
    "the header of the database is overwritten while nobody serves",
    "the service does not start, says why in one line, exits with 70, and leaves the file alone",
    quick=True,
)
def corrupt_header(stage: Stage) -> str:
    write_some(stage)
    overwrite(stage.file, 0, 100)
    return not_started(stage)


@fault(
    "pages in the middle of the database are overwritten while nobody serves",
    "the service does not start, says why in one line, exits with 70, and leaves the file alone",
)
def corrupt_page(stage: Stage) -> str:
    write_some(stage)
    for at in range(8_192, stage.file.stat().st_size - 4_096, 8_192):
        overwrite(stage.file, at)
    return not_started(stage)


def not_started(stage: Stage) -> str:
    before = stage.file.read_bytes()
    code, words = stage.refused()
    must(code == 70, f"exit code {code}: {words}")
    must(stage.file.read_bytes() == before, "the damaged file was changed")
    return f"exit 70: {words}"


@fault(
    "the end of the write-ahead log is overwritten after a kill -9",
    "what is before the damage is there; the service starts and works",
)
def corrupt_wal(stage: Stage) -> str:
    wal = stage.file.with_name("jobs.db-wal")
    with stage.serve() as on:
        for _ in range(20):
            on.post()
        safe, end = list(on.acknowledged), wal.stat().st_size
        for _ in range(20):
            on.post()
        on.process.kill()
        on.process.wait()
    overwrite(wal, end, wal.stat().st_size - end)
    lost = len(on.acknowledged) - len(safe)
    stage.acknowledged[:] = safe
    with stage.serve() as on:
        return f"of {len(safe) + lost} acknowledged, {lost} are after the damage; else {on.sound()}"


@fault(
    "pages of the database are overwritten under a running service",
    "it exits with 70 as soon as it notices, and answers 200, 201 or 503 until then",
)
def corrupt_underneath(stage: Stage) -> str:
    write_some(stage)
    with stage.serve() as on:
        for at in range(4_096, stage.file.stat().st_size, 4_096):
            overwrite(stage.file, at)
        with Load(on) as load:
            seconds = on.must_end(70)
    wrong = {answer.status for answer in load.posts + load.reads} - {0, 200, 201, 503}
    must(not wrong, f"answers: {statuses(load.posts + load.reads)}")
    return f"exit 70 after {seconds:.2f} s"


@fault(
    "the database file is deleted under a running service",
    "nothing is acknowledged that nobody will find again: 503, exit 70",
    quick=True,
)
def deleted(stage: Stage) -> str:
    with stage.serve() as on:
        on.sound()
        for file in stage.directory.glob("jobs.db*"):
            if file.is_file():
                file.unlink()
        return nothing_acknowledged(on)


@fault(
    "another database file is moved in its place under a running service",
    "nothing is acknowledged that nobody will find again: 503, exit 70",
)
def replaced(stage: Stage) -> str:
    with stage.serve() as on:
        on.sound()
        other = stage.directory / "other.db"
        apsw.Connection(str(other)).execute("create table other (x)")
        other.rename(stage.file)
        return nothing_acknowledged(on)


def nothing_acknowledged(on: Service) -> str:
    answer = on.http.post("/jobs", json={"type": "noop"})
    must(answer.status_code == 503, f"it said {answer.status_code}")
    return f"503; exit 70 after {on.must_end(70):.2f} s: {last_line(on.log)}"


@fault(
    "the directory of the database is read-only",
    "the service does not start, and says why in one line",
)
def read_only(stage: Stage) -> str:
    place = stage.directory / "place"
    place.mkdir()
    stage.database = "sqlite:///place/jobs.db"
    frozen = stage.in_namespace("mount --bind place place; mount -o remount,ro,bind place")
    code, words = stage.refused(before=frozen)
    must(code in (1, 70), f"exit code {code}: {words}")
    must("read-only" in words.lower(), words)
    return f"exit {code}: {words}"


@fault(
    "another program locks the database for writing for 7 s, longer than SQLite waits",
    "reads go on, writes wait and get 503; they are taken as soon as the lock is gone",
)
def locked(stage: Stage) -> str:
    with stage.serve() as on, Load(on) as load:
        until(lambda: len(on.acknowledged) > 50, "nothing is accepted")
        other = apsw.Connection(str(stage.file))
        other.set_busy_timeout(5_000)
        other.execute("begin immediate")
        time.sleep(7)
        other.execute("rollback")
        other.close()
        free = time.monotonic()
        until(lambda: any(p.status == 201 and p.at > free for p in load.posts), "still locked")
        must({answer.status for answer in load.reads} == {200}, f"reads: {statuses(load.reads)}")
        wrong = {answer.status for answer in load.posts} - {201, 503}
        must(not wrong, f"posts: {statuses(load.posts)}")
        return (
            f"posts {statuses(load.posts)}; slowest read {slowest(load.reads):.2f} s; {on.sound()}"
        )


@fault(
    "another program reads in one transaction for 6 s, and so holds back every checkpoint",
    "posts go on; the log is cut to 16 MB when it is over",
)
def long_reader(stage: Stage) -> str:
    wal = stage.file.with_name("jobs.db-wal")
    with stage.serve() as on, Load(on) as load:
        reader = apsw.Connection(str(stage.file))
        reader.execute("begin; select count(*) from jobs").fetchall()
        time.sleep(6)
        grown = wal.stat().st_size
        reader.execute("rollback")
        reader.close()
        time.sleep(2)
        after = wal.stat().st_size
        must({answer.status for answer in load.posts} == {201}, f"posts: {statuses(load.posts)}")
        must(after <= MAX_IDLE_WAL, f"the log was {grown:,} bytes, and is {after:,}")
        return f"log {grown:,} bytes, then {after:,}; {statuses(load.posts)}; {on.sound()}"


@fault(
    "`trio-jobs backup` under load",
    "the copy is whole, and has each job that was acknowledged before it began",
)
def backup(stage: Stage) -> str:
    with stage.serve() as on, Load(on):
        until(lambda: len(on.acknowledged) > 300, "nothing is accepted")
        before = set(on.acknowledged)
        done = subprocess.run(
            stage.command("backup", "copy.db", "--database", stage.database),
            cwd=stage.directory, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        must(done.returncode == 0, done.stderr)
    copy = apsw.Connection(str(stage.directory / "copy.db"))
    must(copy.pragma("integrity_check") == "ok", "the copy is damaged")
    found = {id_ for (id_,) in copy.execute("select id from jobs")}
    must(before <= found, f"{len(before - found)} jobs are not in the copy")
    return f"{len(before)} jobs acknowledged before it, {len(found)} in the copy, which is whole"


@fault(
    "a second service is started on the same file",
    "it is refused in one line that names the first; with --shared both work, no job runs twice",
)
def two_servers(stage: Stage) -> str:
    with stage.serve() as on:
        code, words = stage.refused()
        must(code == 1, f"exit code {code}: {words}")
        must(str(on.process.pid) in words, words)
        on.signal()
        on.must_end(0)
    with stage.serve("--shared") as one, stage.serve("--shared") as two:
        for on in [one, two] * 30:
            on.post("work", {"seconds": 0})
        one.sound()
        seen = two.sound()
    begins = (stage.directory / "executions").read_text().count("begin")
    must(begins == 60, f"60 jobs ran {begins} times")
    return f"exit 1: {words}; shared: 60 jobs ran once each, {seen}"
