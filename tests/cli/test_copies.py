"""Backups: made under a running service, and put back when there is none."""

import json
import stat
import threading

import apsw
import pytest

from trio_jobs.cli.exits import Exit
from trio_jobs.storage import copies
from trio_jobs.storage.connection import open_writer
from trio_jobs.storage.presence import Presence

from ..processes import running
from .conftest import run

COUNT = "with n(value) as (select 1 union all select value + 1 from n where value < ?) "
DATABASE = ("--database", "sqlite:///trio-jobs.db")


def names(directory):
    return sorted(path.name for path in directory.iterdir() if not path.name.startswith("service-"))


def test_a_backup_is_made_while_a_service_writes_and_brings_all_back(ask, service, directory):
    ids = {service.post("noop", delay=3_600, queue="copied") for _ in range(20)}
    stop = threading.Event()

    def disturb():
        while not stop.is_set():
            service.post("noop")

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    try:
        done = ask("backup", "copy.db", "--database", f"sqlite:///{directory / 'trio-jobs.db'}")
    finally:
        stop.set()
        disturbing.join()
    assert done.returncode == 0, done.stderr
    assert "copy.db: " in done.stderr
    restored = ask("restore", "copy.db", *DATABASE)
    assert restored.returncode == 0, restored.stderr
    assert "trio-jobs.db restored\n" in restored.stderr, "there was no old one"
    listed = ask("ls", "--filter", "queue=copied", "-o", "id", *DATABASE).stdout.split()
    assert set(listed) == ids


def test_a_copy_holds_still_however_much_is_written_meanwhile(tmp_path, monkeypatch):
    """Each commit of another connection would make SQLite's backup begin again."""
    monkeypatch.setattr(copies, "PAGES", 1)
    db = open_writer(tmp_path / "jobs.db", durable=False)
    db.execute("create table filler (x blob)")
    db.execute(COUNT + "insert into filler select zeroblob(4000) from n", (50,))
    seen = []

    def told(done, total):
        seen.append((done, total))
        db.execute("insert into filler values (zeroblob(4000))")

    copies.backup(tmp_path / "jobs.db", tmp_path / "copy.db", told)
    assert [done for done, _ in seen] == list(range(1, seen[0][1] + 1))
    copy = apsw.Connection(str(tmp_path / "copy.db"))
    assert copy.execute("select count(*) from filler").get == 50
    copy.close()
    db.close()


def test_a_backup_spares_what_is_there_and_leaves_nothing_half_done(ask, tmp_path):
    assert ask("migrate").returncode == 0
    assert ask("backup", "copy.db").returncode == 0
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    refused = ask("backup", "copy.db")
    assert refused.returncode == Exit.REFUSED
    assert "--force" in refused.stderr
    assert ask("backup", "copy.db", "--force").returncode == 0
    itself = ask("backup", "trio-jobs.db", "--force")
    assert itself.returncode == Exit.USAGE
    assert "itself" in itself.stderr
    none = ask("backup", "other.db", "--database", "sqlite:///none.db")
    assert none.returncode == Exit.ERROR
    assert "none.db" in none.stderr
    assert ask("backup", "no/copy.db").returncode == Exit.ERROR
    assert ask("backup", "x.db", "--database", "mysql://x").returncode == Exit.USAGE
    assert names(tmp_path) == [
        *("copy.db", "trio-jobs.db", "trio-jobs.db.lock", "trio-jobs.db.workers")
    ]


def test_a_restore_keeps_the_old_database_beside_the_new_one(ask, tmp_path):
    ask("migrate")
    ask("enqueue", "noop", "--delay", "1h", *DATABASE)
    ask("backup", "copy.db")
    later = json.loads(ask("enqueue", "noop", "--delay", "1h", *DATABASE).stdout)["id"]
    done = ask("restore", "copy.db")
    assert done.returncode == 0, done.stderr
    assert len(ask("ls", "-o", "id", *DATABASE).stdout.split()) == 1
    [kept] = [name for name in names(tmp_path) if ".before-" in name]
    assert kept in done.stderr
    old = ask("ls", "-o", "id", "--database", f"sqlite:///{kept}").stdout.split()
    assert len(old) == 2
    assert later in old


def test_the_old_wal_does_not_stay_beside_the_new_database(tmp_path):
    """The new file would be read together with it, and be broken."""
    database = tmp_path / "jobs.db"
    open_writer(database, durable=False).close()
    copies.backup(database, tmp_path / "copy.db", lambda done, total: None)
    wal = tmp_path / "jobs.db-wal"
    wal.write_bytes(b"left by a crash")
    (tmp_path / "jobs.db-shm").write_bytes(b"")
    kept = copies.restore(tmp_path / "copy.db", database, lambda done, total: None)
    assert not wal.exists()
    assert not (tmp_path / "jobs.db-shm").exists()
    copies.examine(kept)


def test_under_a_running_service_nothing_is_restored(tmp_path):
    with running(tmp_path) as service:
        assert run(tmp_path, "backup", "copy.db").returncode == 0
        id_ = service.post("noop")
        refused = run(tmp_path, "restore", "copy.db")
        assert refused.returncode == Exit.REFUSED
        assert "in use by process" in refused.stderr
        assert service.wait_for(id_, "done")
    assert not [name for name in names(tmp_path) if "before" in name or "restoring" in name]


def test_the_place_of_a_database_that_is_shared_is_taken_by_nobody_else(ask, tmp_path):
    ask("migrate")
    ask("backup", "copy.db")
    presence = Presence(tmp_path / "trio-jobs.db", shared=True)
    assert ask("restore", "copy.db").returncode == Exit.REFUSED
    presence.leave()
    assert ask("restore", "copy.db").returncode == 0


def garbage(path):
    path.write_bytes(b"garbage" * 1_000)


def empty(path):
    path.touch()


def foreign(path):
    db = apsw.Connection(str(path))
    db.execute("create table cats (name text)")
    db.close()


def newer(path):
    db = open_writer(path, durable=False)
    db.execute("insert into schema_version (version, name, breaking) values (999, 'later', 1)")
    db.close()


def damaged(path):
    db = open_writer(path, durable=False)
    db.execute("create table filler (x text)")
    db.execute("create index filler_x on filler (x)")
    db.execute(COUNT + "insert into filler select 'word ' || value from n", (5_000,))
    page = db.execute("select rootpage from sqlite_schema where name = 'filler_x'").get
    db.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4_096)
        file.write(b"\xff" * 4_096)


@pytest.mark.parametrize("make", [garbage, empty, foreign, newer, damaged])
def test_what_is_no_good_copy_replaces_nothing(ask, tmp_path, make):
    ask("migrate")
    make(tmp_path / "copy.db")
    before = (tmp_path / "trio-jobs.db").read_bytes()
    done = ask("restore", "copy.db")
    assert done.returncode == Exit.ERROR
    assert "copy.db" in done.stderr
    assert (tmp_path / "trio-jobs.db").read_bytes() == before
    assert not [name for name in names(tmp_path) if "before" in name or "restoring" in name]
    assert ask("restore", "missing.db").returncode == Exit.ERROR


def test_a_copy_that_nobody_may_write_is_restored(ask, tmp_path):
    ask("migrate")
    (tmp_path / "safe").mkdir()
    ask("backup", "safe/copy.db")
    (tmp_path / "safe" / "copy.db").chmod(0o400)
    (tmp_path / "safe").chmod(0o500)
    try:
        assert ask("restore", "safe/copy.db").returncode == 0
        assert names(tmp_path / "safe") == ["copy.db"]
    finally:
        (tmp_path / "safe").chmod(0o700)


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_backup_is_not_put_where_the_log_of_another_database_lies(ask, tmp_path, suffix):
    assert ask("migrate", *DATABASE).returncode == 0
    (tmp_path / "copy.db").write_bytes(b"old")
    (tmp_path / f"copy.db{suffix}").write_bytes(b"log")
    done = ask("backup", "copy.db", "--force", *DATABASE)
    assert done.returncode == Exit.ERROR
    assert "choose another file" in done.stderr
    assert (tmp_path / "copy.db").read_bytes() == b"old"


def test_a_copy_that_is_damaged_replaces_no_good_one(ask, tmp_path):
    assert ask("migrate", *DATABASE).returncode == 0
    assert ask("backup", "copy.db", *DATABASE).returncode == 0
    good = (tmp_path / "copy.db").read_bytes()
    database = tmp_path / "trio-jobs.db"
    data = bytearray(database.read_bytes())
    data[3 * 4096 : 6 * 4096] = b"\xa5" * (3 * 4096)
    database.write_bytes(data)
    assert ask("backup", "copy.db", "--force", *DATABASE).returncode == Exit.ERROR
    assert (tmp_path / "copy.db").read_bytes() == good


def test_an_interrupted_restore_leaves_the_old_database_whole(ask, tmp_path, monkeypatch):
    assert ask("migrate", *DATABASE).returncode == 0
    assert ask("backup", "copy.db", *DATABASE).returncode == 0
    database = tmp_path / "trio-jobs.db"
    writer = open_writer(database, durable=True)
    writer.execute("insert into queues (name, most) values ('kept', 3)")
    wal = (tmp_path / "trio-jobs.db-wal").read_bytes()
    main = database.read_bytes()
    writer.close()
    database.write_bytes(main)
    (tmp_path / "trio-jobs.db-wal").write_bytes(wal)  # as a crash leaves it

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("trio_jobs.storage.copies.os.link", interrupted)
    assert ask("restore", "copy.db", *DATABASE).returncode == 130
    assert '"limit": 3' in ask("queues", *DATABASE).stdout
