"""Who is alive: told by locks that the kernel drops, whatever way a process ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trio_jobs.errors import StoreLocked
from trio_jobs.storage.presence import Presence

HOLD = """
import sys
from pathlib import Path
from trio_jobs.storage.presence import Presence
presence = Presence(Path(sys.argv[1]), shared=True)
print(presence.identity, flush=True)
sys.stdin.read()
"""


def descriptors() -> int:
    """How many this process has open; 0 where nobody can tell."""
    listed = Path("/proc/self/fd")
    return len(list(listed.iterdir())) if listed.exists() else 0


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


def test_the_owner_is_alone_until_it_leaves(database: Path) -> None:
    owner = Presence(database, shared=False)
    for shared in (False, True):
        with pytest.raises(StoreLocked, match=f"process {os.getpid()}"):
            Presence(database, shared=shared)
    owner.leave()
    Presence(database, shared=False).leave()


def test_those_who_share_know_each_other_and_keep_owners_out(database: Path) -> None:
    one, other = Presence(database, shared=True), Presence(database, shared=True)
    assert one.living() == other.living() == {one.identity, other.identity}
    with pytest.raises(StoreLocked):
        Presence(database, shared=False)
    other.leave()
    assert one.living() == {one.identity}
    one.leave()


def test_a_name_is_never_used_twice(database: Path) -> None:
    names = set()
    for _ in range(5):
        presence = Presence(database, shared=False)
        names.add(presence.identity)
        presence.leave()
    assert len(names) == 5


def test_files_that_nobody_holds_are_swept_and_strangers_left_alone(database: Path) -> None:
    presence = Presence(database, shared=True)
    workers = database.with_name("jobs.db.workers")
    (workers / "process-dead").touch()
    (workers / "README").touch()
    assert presence.living() == {presence.identity}
    assert sorted(file.name for file in workers.iterdir()) == ["README", presence.identity]
    presence.leave()
    assert [file.name for file in workers.iterdir()] == ["README"]


def test_leaving_does_not_mind_a_tidied_directory(database: Path) -> None:
    presence = Presence(database, shared=True)
    (database.with_name("jobs.db.workers") / presence.identity).unlink()
    presence.leave()


def test_nobody_leaks_a_descriptor(database: Path) -> None:
    Presence(database, shared=False).leave()
    before = descriptors()
    for _ in range(20):
        presence = Presence(database, shared=False)
        with pytest.raises(StoreLocked):
            Presence(database, shared=False)
        presence.living()
        presence.leave()
    assert descriptors() == before


@pytest.mark.slow
def test_a_killed_process_is_known_dead_at_once(database: Path) -> None:
    me = Presence(database, shared=True)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    other = process.stdout.readline().strip()
    assert me.living() == {me.identity, other}
    process.send_signal(signal.SIGSTOP)
    assert me.living() == {me.identity, other}, "a stopped process is not a dead one"
    process.kill()
    process.communicate(timeout=10)
    assert me.living() == {me.identity}
    me.leave()
