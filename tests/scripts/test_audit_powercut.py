"""The power cut: what it may take, what it must leave, and that the audit would notice."""

import json
import random
import subprocess
import sys
from math import inf
from pathlib import Path

import pytest

from scripts.auditing.aftermath import Damage, damage
from scripts.auditing.answers import Answer, Connections, Promises, promises
from scripts.auditing.disk import MERCY, Fate, File, Folder, Truncate, Write, contents
from scripts.auditing.recording import Recording
from scripts.auditing.strace import Call, Span, Unusable, calls
from scripts.auditing.wal import order

from ..conftest import EPOCH
from ..storage.conftest import SqliteBackend
from ..storage.jobs import claim_one, new_job, with_result

SCRIPT = Path(__file__).parents[2] / "scripts" / "audit_powercut.py"
FATES = 300
OLD, NEW = b"o" * 2048, b"n" * 2048


def after(node: File, cut: float) -> list[bytearray]:
    """What may be in it after a cut, by many fates."""
    return [node.at(cut, Fate(random.Random(seed))) for seed in range(FATES)]


def file(*changes: Write | Truncate, syncs: tuple[Span, ...] = ()) -> File:
    made = File()
    made.history.changes += changes
    made.history.syncs += syncs
    return made


def hexed(text: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in text)


# ── what a disk does ──────────────────────────────────────────────────────────────────────────


def test_what_was_synced_is_there_whatever_happens() -> None:
    old = Write(Span(1, 2), 0, OLD)
    assert after(file(old, syncs=(Span(3, 4),)), 5) == [OLD] * FATES


@pytest.mark.parametrize(
    ("sync", "cut"),
    [
        (Span(2.5, 6), 7),  # it began before the write had ended
        (Span(4, 6), 5),  # it had not ended
        (Span(4, inf), 7),
    ],
)
def test_an_fsync_that_began_too_early_or_has_not_ended_saves_nothing(
    sync: Span, cut: float
) -> None:
    found = after(file(Write(Span(2, 3), 0, OLD), syncs=(sync,)), cut)
    assert b"" in found
    assert OLD in found


def test_a_write_in_doubt_is_torn_between_sectors_only() -> None:
    changes = Write(Span(1, 2), 0, OLD), Write(Span(5, 6), 256, NEW[:1024])
    found = after(file(*changes, syncs=(Span(3, 4),)), 7)
    whole = OLD[:256] + NEW[:1024] + OLD[1280:]
    assert OLD in found
    assert whole in found
    pieces = (256, 512), (512, 1024), (1024, 1280)
    for content in found:
        assert len(content) == len(OLD)
        assert all(len(set(content[start:end])) == 1 for start, end in pieces)
    assert OLD[:512] + whole[512:] in found  # a later sector without the first
    assert len(set(map(bytes, found))) > 4


def test_what_had_not_begun_never_happened() -> None:
    assert after(file(Write(Span(5, 6), 0, NEW)), 4.5) == [b""] * FATES


def test_a_new_length_is_in_doubt_like_a_write() -> None:
    changes = Write(Span(1, 2), 0, b"ab"), Truncate(Span(5, 6), 1)
    found = after(file(*changes, syncs=(Span(3, 4),)), 7)
    assert {bytes(content) for content in found} == {b"ab", b"a"}


def test_cuts_in_any_order_find_the_same() -> None:
    twice = file(
        *(Write(Span(1, 2), 0, OLD), Write(Span(5, 6), 0, NEW)), syncs=(Span(3, 4), Span(7, 8))
    )
    assert [twice.at(cut, MERCY) for cut in (9, 4.5, 9)] == [NEW, OLD, NEW]


def test_a_file_is_lost_with_its_name_and_with_that_of_its_directory() -> None:
    top, data, jobs = Folder(), Folder(), file(Write(Span(3, 4), 0, OLD), syncs=(Span(5, 6),))
    top.change(Span(1, 2), "data", data)
    data.change(Span(2, 3), "jobs", jobs)
    data.history.syncs.append(Span(7, 8))

    def found(cut: float) -> set[frozenset[str]]:
        fates = (Fate(random.Random(seed)) for seed in range(FATES))
        return {frozenset(map(str, contents(top, cut, fate))) for fate in fates}

    nothing, everything = frozenset[str](), frozenset({"data", "data/jobs"})
    assert found(6.5) == {nothing, frozenset({"data"}), everything}
    assert found(8.5) == {nothing, everything}
    top.history.syncs.append(Span(9, 10))
    assert found(10.5) == {everything}


# ── what strace says ──────────────────────────────────────────────────────────────────────────


def test_calls_come_in_the_order_in_which_they_ended(tmp_path: Path) -> None:
    record = tmp_path / "record"
    wal, data = hexed(b"/d/wal"), hexed(b'x", 1) = 2')
    record.write_bytes(
        b'7 pwrite64(3<%b>, "%b", 10, 40 <unfinished ...>\n' % (wal, data)
        + b"8 fsync(3<%b> <unfinished ...>\n" % wal
        + b"7 <... pwrite64 resumed>)        = 6\n"
        + b"7 --- SIGTERM {si_signo=SIGTERM} ---\n"
        + b'7 openat(AT_FDCWD<%b>, "%b", O_RDONLY) = -1 ENOENT (No such file)\n' % (wal, data)
        + b"8 <... fsync resumed>)           = 0\n"
        + b"7 fdatasync(3<%b>) = ?\n" % wal
        + b"8 +++ killed by SIGKILL +++\n"
    )
    found = list(calls(record))
    assert [(call.name, call.span, call.result) for call in found] == [
        ("pwrite64", Span(0, 2), 6),
        ("fsync", Span(1, 5), 0),
        ("fdatasync", Span(6, inf), None),
    ]
    assert [call.paths for call in found] == [[Path("/d/wal")]] * 3
    assert (found[0].data, found[0].last) == (b'x", 1) = 2', 40)


def test_data_that_was_cut_off_is_refused() -> None:
    with pytest.raises(Unusable, match="more than strace noted"):
        Call(Span(1, 2), "pwrite64", b'3<\\x2f>, "\\x61"..., 9, 0', 9).data  # noqa: B018


def call(name: str, arguments: bytes, result: int = 0) -> Call:
    return Call(Span(1, 2), name, arguments, result)


def test_a_recording_is_the_disk() -> None:
    recording = Recording(Path("/d"))
    jobs = hexed(b"/d/a/jobs")
    for one in (
        call("mkdir", b'"%b", 0777' % hexed(b"/d/a")),
        call("openat", b'AT_FDCWD<%b>, "%b", O_RDWR|O_CREAT, 0600' % (hexed(b"/"), jobs), 3),
        call("pwrite64", b'3<%b>, "%b", 3, 1' % (jobs, hexed(b"abc")), 2),  # one did not fit
        call("mmap", b"NULL, 9, PROT_READ|PROT_WRITE, MAP_SHARED, 4<%b>, 0" % hexed(b"/d/a/b-shm")),
    ):
        recording.take(one)
    assert contents(recording.folder, inf, MERCY) == {Path("a"): None, Path("a/jobs"): b"\0ab"}
    recording.take(call("unlink", b'"%b"' % jobs))
    assert contents(recording.folder, inf, MERCY) == {Path("a"): None}
    assert len(recording.files(Path("a/jobs"))) == 1


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mmap", b"NULL, 9, PROT_READ|PROT_WRITE, MAP_SHARED, 3<%b>, 0"),
        ("pwrite64", b'3<%b>(deleted), "\\x61", 1, 0'),
        ("rename", b'"%b", "\\x2f\\x78"'),
        ("copy_file_range", b"9<\\x2f\\x78>, NULL, 3<%b>, NULL, 9, 0"),
    ],
)
def test_what_the_audit_does_not_understand_ends_it(name: str, arguments: bytes) -> None:
    recording = Recording(Path("/d"))
    recording.take(call("openat", b'3<\\x2f>, "%b", O_RDWR|O_CREAT, 0600' % hexed(b"/d/jobs")))
    with pytest.raises(Unusable):
        recording.take(call(name, arguments % hexed(b"/d/jobs")))


def test_a_promise_is_made_when_the_first_of_its_answer_is_sent() -> None:
    def sent(began: float, data: bytes) -> Call:
        arguments = b'5<%b>, "%b", %d' % (hexed(b"socket:[1]"), hexed(data), len(data))
        return Call(Span(began, began + 1), "write", arguments, len(data))

    made = b'{"jobs":[{"id":"a","state":"queued"}]}'
    done = b'{"id":"a","state":"done","output":7}'
    first = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%b" % (len(made), made)
    second = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(done), done)
    connections = Connections()
    connections.take(sent(10, first[:30]))
    connections.take(sent(20, first[30:] + second[:9]))
    connections.take(sent(30, second[9:]))
    answers = connections.answers()
    assert answers == [Answer(10, 201, made), Answer(20, 200, done)]
    assert promises(answers) == Promises({"a": 10}, {"a": (20, 7)})


# ── what the audit finds ──────────────────────────────────────────────────────────────────────

ID = "01a20f67-fd81-70ad-a8f7-ba006129c99e"


@pytest.mark.parametrize(
    ("sync", "answered", "is_early"),
    [
        (Span(7, 8), 9, False),
        (Span(7, 8), 7.5, True),  # it had not ended
        (Span(5.5, 8), 9, True),  # it began before the commit was written
        (Span(2.5, 2.6), 9, True),
    ],
)
def test_an_answer_before_the_fsync_of_its_commit_is_found(
    sync: Span, answered: float, *, is_early: bool
) -> None:
    wal = file(
        Write(Span(1, 2), 32, bytes(24)),
        Write(Span(2, 2.2), 56, b"U" + ID.encode() + b"work".ljust(100)),
        Write(Span(3, 4), 4152, bytes(7) + b"\x02" + bytes(16)),  # the last of its transaction
        Write(Span(5, 6), 4176, bytes(4096)),
        syncs=(sync,),
    )
    assert order([wal], {ID: answered}) == ([ID] if is_early else [])


def test_a_job_that_was_never_written_is_found() -> None:
    assert order([file(syncs=(Span(1, 2),))], {ID: 9}) == [ID]


async def found_after(tmp_path: Path, sql: str) -> Damage:
    """What is found when somebody has run `sql` on an array of a job that is done and one that
    waits."""
    inputs = [json.dumps({"array": "x", "of": 2, "text": text}).encode() for text in "ab"]
    done, waits = jobs = [new_job(payload=input_) for input_ in inputs]
    backend = SqliteBackend(tmp_path)
    async with backend.open() as store:
        await store.enqueue(jobs)
        await store.settle([with_result(await claim_one(store), inputs[0])], EPOCH)
        for _ in backend.audit().execute(sql):
            pass
    said = Promises({done.id: 1, waits.id: 2}, {done.id: (3, json.loads(inputs[0]))})
    known = dict(zip((done.id, waits.id), map(json.loads, inputs), strict=True))
    return damage(backend.path, said, 9, known)


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        ("select 1", set()),
        ("delete from jobs where state = 'queued'", {"lost", "corrupt", "half"}),  # the counts, too
        ("""update payloads set body = '{"array": 1, "of": 1}'""", {"lost", "half"}),
        ("delete from results", {"undone", "half"}),
        ("update jobs set state = 'failed' where state = 'done'", {"undone", "corrupt"}),
        ("update counts set n = n + 1 where state = 'queued'", {"corrupt"}),
    ],
)
async def test_each_kind_of_damage_is_found(tmp_path: Path, sql: str, kinds: set[str]) -> None:
    found = await found_after(tmp_path, sql)
    assert {kind for kind, cases in vars(found).items() if cases} == kinds


def test_what_was_promised_after_the_cut_is_not_missed(tmp_path: Path) -> None:
    said, inputs = Promises({"a": 5.0}), {"a": 7}
    assert not damage(tmp_path / "jobs.db", said, 4.5, inputs)
    assert damage(tmp_path / "jobs.db", said, 5.5, inputs) == Damage(lost=["a"])


def test_a_file_that_is_no_database_is_damage(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_bytes(b"nothing of the kind" * 500)
    found = damage(tmp_path / "jobs.db", Promises(), 1, {})
    assert len(found.corrupt) == 1


# ── as one runs it ────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--self-test",)])
def test_power_cuts_lose_what_was_not_synced_and_nothing_else(more: tuple[str, ...]) -> None:
    command = [sys.executable, str(SCRIPT), "--cuts", "20", "--jobs", "60", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    if done.returncode == 2:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_strace_the_audit_says_what_to_install(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--cuts", "1", "--jobs", "1"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=50, env={"PATH": str(tmp_path)}
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "apt-get install strace" in done.stderr
