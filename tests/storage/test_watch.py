"""What can be seen of a job: its attempts, log lines, progress, and every change."""

from typing import Any

import pytest
import trio

from trio_jobs.job import CRASHES_ALLOWED, Event, Reason, State, Verdict
from trio_jobs.job import Error as Wrong
from trio_jobs.storage import writes
from trio_jobs.storage.records import Claimed, Error, LogLine, Progress, Report, Settlement
from trio_jobs.storage.watching import AttemptRecord, Change, Changes
from trio_jobs.storage.wishes import Amendment

from ..conftest import EPOCH
from .conftest import Backend
from .jobs import (
    BOOM,
    LEASE,
    VERDICTS,
    WAYS,
    bring_to,
    claim,
    claim_one,
    due_in,
    job_of,
    keyed,
    new_job,
    settlement,
    state_of,
)

SHOWN = Error(BOOM.type, BOOM.message, BOOM.traceback)


def line(message: str, at: float = EPOCH, attempt: int = 1) -> LogLine:
    return LogLine(at, "INFO", message, attempt)


def says(job: Claimed, *messages: str, done: float | None = None) -> Report:
    progress = None if done is None else Progress(done, 10.0, "note")
    return Report(job.id, job.lease_token, progress, [line(text) for text in messages])


async def lines_of(store: Any, id_: str) -> list[tuple[int, str]]:
    return [(found.n, found.message) for found in await store.logs(id_, 0, 1_000)]


# ── attempts ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("event", VERDICTS)
async def test_an_attempt_is_told_as_it_runs_and_as_it_ended(store: Any, event: Event) -> None:
    job = new_job()
    await store.enqueue([job])
    assert await store.attempts(job.id) == []
    held = await claim_one(store, worker="me", now=EPOCH + 1)
    assert await store.attempts(job.id) == [
        AttemptRecord(1, EPOCH + 1, None, "me", "running", None)
    ]
    await store.settle([settlement(held.lease, event, EPOCH + 5)], EPOCH + 5)
    outcome = {
        Event.SUCCEED: "done",
        Event.FAIL: "permanent",
        Event.RETRY_LATER: "retry",
        Event.SNOOZE: "snoozed",
        Event.RELEASE: "shutdown",
        Event.CANCEL: "cancelled",
    }[event]
    error = SHOWN if event in (Event.FAIL, Event.RETRY_LATER) else None
    assert await store.attempts(job.id) == [
        AttemptRecord(1, EPOCH + 1, EPOCH + 5, "me", outcome, error)
    ]


async def test_a_job_that_has_used_up_its_attempts_says_that_it_failed(store: Any) -> None:
    held = await bring_to(store, State.RUNNING)
    await store.settle([Settlement.of(held.lease, Verdict.failed(BOOM, None))], EPOCH)
    assert [a.outcome for a in await store.attempts(held.id)] == ["failed"]


async def test_all_attempts_are_listed_oldest_first_with_their_errors(store: Any) -> None:
    job = new_job()
    await store.enqueue([job])
    for n in range(12):  # "10" is not before "2"
        held = await claim_one(store, now=EPOCH + n, worker=f"w{n}")
        again = Verdict.retry_at(EPOCH + n, Wrong("E", f"wrong {n}"), Reason.RETRY)
        await store.settle([Settlement.of(held.lease, again)], EPOCH + n)
        await store.promote(EPOCH + n, 1)
    await claim_one(store, now=EPOCH + 12, worker="w12")
    history = await store.attempts(job.id)
    assert [a.attempt for a in history] == list(range(1, 14))
    assert [a.worker for a in history] == [f"w{n}" for n in range(13)]
    assert [a.error and a.error.message for a in history] == [
        *(f"wrong {n}" for n in range(12)),
        None,
    ]
    assert history[-1].outcome == "running"


async def test_attempts_that_were_given_back_are_told_as_well(store: Any) -> None:
    job = new_job()
    await store.enqueue([job])
    for crash in range(1, CRASHES_ALLOWED + 1):
        await claim_one(store, now=EPOCH + 100 * crash)
        await store.rescue(EPOCH + 100 * crash + LEASE, 9)
    history = await store.attempts(job.id)
    assert [(a.attempt, a.outcome) for a in history] == [
        (1, "lease_lost"), (1, "lease_lost"), (1, "poison"),
    ]  # fmt: skip
    assert all(a.error is not None for a in history)
    assert [a.finished_at for a in history] == [EPOCH + n + LEASE for n in (100, 200, 300)]


async def test_attempts_of_one_job_are_not_shown_with_another(store: Any) -> None:
    await bring_to(store, State.FAILED)
    job = new_job()
    await store.enqueue([job])
    assert await store.attempts(job.id) == await store.attempts("none") == []


# ── report ────────────────────────────────────────────────────────────────────────────────────


async def test_progress_and_lines_are_there_while_the_job_runs(store: Any) -> None:
    held = await bring_to(store, State.RUNNING)
    before = await job_of(store, held.id)
    assert await store.report([says(held, "a", done=1)], EPOCH + 5) == {held.id}
    job = await job_of(store, held.id)
    assert job.progress == Progress(1.0, 10.0, "note")
    assert (job.state, job.version) == (State.RUNNING, before.version + 1)
    assert job.updated_at == EPOCH + 5
    assert await store.logs(held.id, 0, 9) == [LogLine(EPOCH, "INFO", "a", 1, 1)]


@pytest.mark.parametrize(
    "progress", [Progress(0), Progress(-1.5, 0.0, ""), Progress(1e300, None, "é\0\n\u2028")]
)
async def test_progress_is_kept_as_it_was_said(store: Any, progress: Progress) -> None:
    held = await bring_to(store, State.RUNNING)
    await store.report([Report(held.id, held.lease_token, progress, [])], EPOCH)
    assert (await job_of(store, held.id)).progress == progress


async def test_lines_alone_leave_the_progress_as_it_was(store: Any) -> None:
    held = await bring_to(store, State.RUNNING)
    await store.report([says(held, done=3)], EPOCH)
    await store.report([says(held, "line")], EPOCH)
    assert await store.report([says(held)], EPOCH) == {held.id}
    assert (await job_of(store, held.id)).progress == Progress(3.0, 10.0, "note")


@pytest.mark.parametrize("text", ["", "\0 nul \0", "é😀\u2028\x1b[31m", "x" * 64_000, "12", "null"])
async def test_whatever_a_line_says_is_kept(store: Any, text: str) -> None:
    held = await bring_to(store, State.RUNNING)
    said = LogLine(EPOCH + 1 / 3, text, text, 7)
    await store.report([Report(held.id, held.lease_token, None, [said])], EPOCH)
    assert await store.logs(held.id, 0, 9) == [LogLine(EPOCH + 1 / 3, text, text, 7, 1)]


async def test_lines_are_numbered_through_all_reports_and_attempts(store: Any) -> None:
    job = new_job()
    await store.enqueue([job])
    held = await claim_one(store)
    await store.report([says(held, "1", "2")], EPOCH)
    await store.report([says(held, "3")], EPOCH)
    await store.settle(
        [settlement(held.lease, Event.RELEASE)], EPOCH, reports=[says(held, "4", "5")]
    )
    again = await claim_one(store)
    await store.report([says(again, "6")], EPOCH)
    await store.settle([settlement(again.lease)], EPOCH)
    await store.retry([job.id], EPOCH)
    await store.report([says(await claim_one(store), "7")], EPOCH)
    assert await lines_of(store, job.id) == [(n, str(n)) for n in range(1, 8)]


async def test_lines_come_in_pages_without_gap_or_repeat(store: Any) -> None:
    held = await bring_to(store, State.RUNNING)
    other = await bring_to(store, State.RUNNING)
    for n in range(0, 12, 3):
        await store.report([says(held, *map(str, range(n, n + 3))), says(other, "x")], EPOCH)
    seen: list[LogLine] = []
    while page := await store.logs(held.id, seen[-1].n if seen else 0, 5):
        assert len(page) <= 5
        seen += page
    assert [(found.n, found.message) for found in seen] == [(n + 1, str(n)) for n in range(12)]
    assert await store.logs(held.id, 12, 5) == await store.logs("none", 0, 5) == []
    assert await store.logs(held.id, 0, 0) == []


async def test_a_guessed_or_stale_token_can_report_nothing(store: Any) -> None:
    held = await bring_to(store, State.RUNNING)
    before = await job_of(store, held.id)
    for token in (held.lease_token ^ 1, 0, -1):
        fake = Report(held.id, token, Progress(9), [line("fake")])
        assert await store.report([fake], EPOCH) == set()
    assert await store.report([Report("none", 1, Progress(9), [line("x")])], EPOCH) == set()
    assert await job_of(store, held.id) == before
    assert await lines_of(store, held.id) == []


@pytest.mark.parametrize("state", [state for state in WAYS if state is not State.RUNNING])
async def test_what_is_said_after_the_lease_was_lost_is_not_kept(store: Any, state: State) -> None:
    held = await bring_to(store, state)
    before = await job_of(store, held.id)
    assert await store.report([says(held, "late", done=9)], EPOCH) == set()
    assert await job_of(store, held.id) == before
    assert await lines_of(store, held.id) == []


async def test_a_late_worker_does_not_speak_for_the_new_one(store: Any) -> None:
    lost = await bring_to(store, State.RUNNING)
    await store.rescue(EPOCH + LEASE, 9)
    held = await claim_one(store, now=EPOCH + LEASE)
    assert held.id == lost.id
    assert await store.report([says(lost, "stale", done=1)], EPOCH + 31) == set()
    assert await store.report([says(held, "right", done=2)], EPOCH + 31) == {held.id}
    assert await lines_of(store, held.id) == [(1, "right")]


@pytest.mark.parametrize("stale_first", [True, False])
async def test_in_one_batch_the_stale_report_is_told_from_the_right_one(
    store: Any, stale_first: bool
) -> None:
    lost = await bring_to(store, State.RUNNING)
    await store.rescue(EPOCH + LEASE, 9)
    held = await claim_one(store, now=EPOCH + LEASE)
    batch = [says(lost, done=1), says(held, "right")]
    await store.report(batch if stale_first else batch[::-1], EPOCH + 31)
    assert (await job_of(store, held.id)).progress is None
    assert await lines_of(store, held.id) == [(1, "right")]


async def test_one_job_may_report_twice_in_one_batch(store: Any) -> None:
    held = await bring_to(store, State.RUNNING)
    batch = [says(held, "1", done=1), says(held, "2", done=2)]
    assert await store.report(batch, EPOCH) == {held.id}
    assert await lines_of(store, held.id) == [(1, "1"), (2, "2")]
    assert (await job_of(store, held.id)).progress == Progress(2.0, 10.0, "note")


async def test_many_jobs_report_at_once_and_each_keeps_its_own(store: Any) -> None:
    await store.enqueue([new_job() for _ in range(4)])
    jobs = await claim(store)
    await store.settle([settlement(jobs[3].lease)], EPOCH)
    reports = [says(job, *[f"{n}.{k}" for k in range(n)], done=n) for n, job in enumerate(jobs)]
    assert await store.report(reports, EPOCH) == {job.id for job in jobs[:3]}
    for n, job in enumerate(jobs):
        wanted = [(k + 1, f"{n}.{k}") for k in range(n)] if n < 3 else []
        assert await lines_of(store, job.id) == wanted
    assert await store.report([], EPOCH) == set()


async def test_reports_that_come_at_the_same_moment_are_all_kept(store: Any) -> None:
    held = await bring_to(store, State.RUNNING)
    async with trio.open_nursery() as nursery:
        for n in range(5):
            nursery.start_soon(store.report, [says(held, f"{n}", done=n)], EPOCH)
        nursery.start_soon(store.settle, [settlement(held.lease)], EPOCH)
    lines = await lines_of(store, held.id)
    assert [n for n, _ in lines] == [1, 2, 3, 4, 5]
    assert {message for _, message in lines} == set("01234")
    assert await state_of(store, held.id) is State.DONE


async def test_the_progress_of_the_last_attempt_is_not_that_of_the_next(store: Any) -> None:
    held = await bring_to(store, State.RUNNING)
    await store.report([says(held, done=9)], EPOCH)
    await store.settle([settlement(held.lease, Event.RELEASE)], EPOCH)
    await claim_one(store)
    assert (await job_of(store, held.id)).progress is None


# ── settle with reports ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("event", VERDICTS)
async def test_the_last_words_come_with_the_verdict(store: Any, event: Event) -> None:
    held = await bring_to(store, State.RUNNING)
    words = [says(held, "last", done=10)]
    assert await store.settle([settlement(held.lease, event)], EPOCH, words) == {held.id}
    assert await lines_of(store, held.id) == [(1, "last")]
    assert (await job_of(store, held.id)).progress == Progress(10.0, 10.0, "note")


async def test_the_last_words_of_a_late_worker_are_not_kept(store: Any) -> None:
    lost = await bring_to(store, State.RUNNING)
    await store.rescue(EPOCH + LEASE, 9)
    held = await claim_one(store, now=EPOCH + LEASE)
    words = [says(lost, "stale", done=9)]
    assert await store.settle([settlement(lost.lease)], EPOCH + 31, words) == set()
    assert await lines_of(store, held.id) == []
    assert (await job_of(store, held.id)).progress is None


async def test_the_last_words_of_two_at_the_same_moment_are_not_mixed_up(store: Any) -> None:
    lost = await bring_to(store, State.RUNNING)
    await store.rescue(EPOCH + LEASE, 9)
    held = await claim_one(store, now=EPOCH + LEASE)
    other = await bring_to(store, State.RUNNING, new_job(type="other"))

    async def settle(job: Claimed, text: str) -> None:
        words = [says(job, text, done=len(text))]
        await store.settle([settlement(job.lease)], EPOCH + 31, words)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(settle, lost, "stale")
        nursery.start_soon(settle, held, "right one")
        nursery.start_soon(settle, other, "other")
    assert await lines_of(store, held.id) == [(1, "right one")]
    assert (await job_of(store, held.id)).progress == Progress(9.0, 10.0, "note")
    assert await lines_of(store, other.id) == [(1, "other")]


async def test_a_stale_report_does_not_get_in_beside_the_right_one(store: Any) -> None:
    """Two workers settle other jobs in the same transaction; both speak of this one."""
    lost = await bring_to(store, State.RUNNING)
    await store.rescue(EPOCH + LEASE, 9)
    held = await claim_one(store, now=EPOCH + LEASE)
    others = [await bring_to(store, State.RUNNING, new_job(type=type_)) for type_ in "ab"]
    words = [says(lost, done=9), says(held, "right")]
    async with trio.open_nursery() as nursery:
        for other, word in zip(others, words, strict=True):
            nursery.start_soon(store.settle, [settlement(other.lease)], EPOCH + 31, [word])
    assert (await job_of(store, held.id)).progress is None
    assert await lines_of(store, held.id) == [(1, "right")]


async def test_a_report_may_ride_with_the_verdict_on_another_job(store: Any) -> None:
    ended, runs = await bring_to(store, State.RUNNING), await bring_to(store, State.RUNNING)
    await store.settle([settlement(ended.lease)], EPOCH, reports=[says(runs, "on", done=1)])
    assert await lines_of(store, runs.id) == [(1, "on")]
    assert await state_of(store, runs.id) is State.RUNNING


# ── changes ───────────────────────────────────────────────────────────────────────────────────


class Watcher:
    """Asks for what is new, as a client would."""

    def __init__(self, store: Any, after: int = 0) -> None:
        self._store = store
        self.after = after

    async def new(self, limit: int = 1_000) -> list[Change]:
        found: Changes = await self._store.changes(self.after, limit)
        assert found.complete
        self.after = found.last
        return found.changes

    async def events(self) -> list[str]:
        return [change.event for change in await self.new()]


async def test_where_we_are_is_told_without_a_change(store: Any) -> None:
    assert await store.changes(None, 9) == Changes([], 0, more=False, complete=True)
    assert await store.changes(0, 9) == Changes([], 0, more=False, complete=True)
    await store.enqueue([new_job(), new_job()])
    now = await store.changes(None, 9)
    assert (now.changes, now.more, now.complete) == ([], False, True)
    assert await store.changes(now.last, 9) == Changes([], now.last, more=False, complete=True)


async def test_a_change_tells_what_happened_and_how_the_job_stands_when_it_is_read(
    store: Any,
) -> None:
    job = new_job(type="t", queue="q", created_at=EPOCH + 1)
    await store.enqueue([job])
    [held] = await claim(store, 1, "t", now=EPOCH + 2)
    report = Report(held.id, held.lease_token, Progress(1.0), [])
    await store.settle([settlement(held.lease, Event.FAIL)], EPOCH + 3, [report])
    stands = ("t", "q")
    rest = (State.FAILED, 1, 4, Progress(1.0), None)
    changes = await Watcher(store).new()
    one, two, three, four = seqs = [change.seq for change in changes]
    assert seqs == sorted(seqs)
    assert changes == [
        Change(one, EPOCH + 1, "queued", job.id, *stands, None, *rest),
        Change(two, EPOCH + 2, "running", job.id, *stands, None, *rest),
        Change(three, EPOCH + 3, "progress", job.id, *stands, None, *rest),
        Change(four, EPOCH + 3, "failed", job.id, *stands, "permanent", *rest),
    ]


@pytest.mark.parametrize("event", VERDICTS)
async def test_the_end_of_an_attempt_is_told_by_the_state_it_went_to(
    store: Any, event: Event
) -> None:
    held = await bring_to(store, State.RUNNING)
    watcher = Watcher(store, (await store.changes(None, 0)).last)
    await store.settle([settlement(held.lease, event)], EPOCH)
    [change] = await watcher.new()
    job = await job_of(store, held.id)
    assert (change.event, change.reason) == (job.state, job.reason)


async def test_every_verb_tells_what_it_did(store: Any) -> None:
    watcher = Watcher(store)
    one, two, late = new_job(), due_in(5), due_in(9, deadline=EPOCH + 1)
    await store.enqueue([one, two, late])
    assert await watcher.events() == ["queued", "scheduled", "scheduled"]
    await store.amend([Amendment(one.id, priority=1)], EPOCH)
    assert await watcher.events() == ["changed"]
    await store.amend([Amendment(one.id, run_at=EPOCH + 5, priority=2)], EPOCH)
    assert await watcher.events() == ["scheduled"]
    await store.amend([Amendment(one.id, run_at=EPOCH)], EPOCH)
    assert await watcher.events() == ["queued"]
    await store.expire(EPOCH + 1, 9)
    [expired] = await watcher.new()
    assert (expired.event, expired.id, expired.reason) == ("cancelled", late.id, "deadline")
    await store.promote(EPOCH + 5, 9)
    assert await watcher.events() == ["queued"]
    held = await claim_one(store, now=EPOCH + 5)
    assert await watcher.events() == ["running"]
    await store.report([says(held, "a", "b", done=1)], EPOCH)
    assert sorted(await watcher.events()) == ["log", "progress"]
    await store.rescue(EPOCH + 99, 9)
    [rescued] = await watcher.new()
    assert (rescued.event, rescued.reason) == ("queued", "lease_lost")
    await store.cancel([one.id, two.id], EPOCH)
    assert await watcher.events() == ["cancelled", "cancelled"]
    await store.retry([one.id], EPOCH)
    assert await watcher.events() == ["queued"]
    await store.cancel([one.id], EPOCH)
    await store.remove([one.id])
    assert await watcher.events() == []  # it is gone, and with it what it was told by


async def test_a_request_to_stop_is_told_once(store: Any) -> None:
    held = await bring_to(store, State.RUNNING)
    watcher = Watcher(store, (await store.changes(None, 0)).last)
    await store.cancel([held.id, held.id], EPOCH + 1)
    await store.cancel([held.id], EPOCH + 2)
    [change] = await watcher.new()
    assert (change.event, change.at, change.state) == ("cancelling", EPOCH + 1, State.RUNNING)
    await store.settle([settlement(held.lease, Event.RELEASE)], EPOCH + 3)
    assert await watcher.events() == ["cancelled"]


async def test_a_log_event_says_where_the_new_lines_begin(store: Any) -> None:
    held = await bring_to(store, State.RUNNING)
    watcher = Watcher(store, (await store.changes(None, 0)).last)
    await store.report([says(held, "1", "2", "3")], EPOCH + 1)
    await store.report([says(held, done=1)], EPOCH + 2)
    await store.report([says(held)], EPOCH + 3)
    await store.report([says(held, "4")], EPOCH + 4)
    told = [(change.event, change.first_line) for change in await watcher.new()]
    assert told == [("log", 1), ("progress", None), ("log", 4)]


async def test_what_was_refused_is_no_change(store: Any) -> None:
    held = await bring_to(store, State.DONE)
    before = (await store.changes(None, 0)).last
    await store.settle([settlement(held.lease)], EPOCH, [says(held, "x", done=1)])
    await store.report([says(held, "x", done=1)], EPOCH)
    await store.cancel([held.id], EPOCH)
    await store.amend([Amendment(held.id, priority=1)], EPOCH)
    await store.rescue(EPOCH + 99, 9)
    await claim(store)
    assert await store.changes(before, 9) == Changes([], before, more=False, complete=True)


async def test_a_unique_job_is_told_of_once_and_a_replaced_one_as_changed(store: Any) -> None:
    watcher = Watcher(store)
    await store.enqueue([keyed("k"), keyed("k")])
    await store.enqueue([keyed("k")])
    assert await watcher.events() == ["queued"]
    await store.enqueue([keyed("k", on_conflict="replace")])
    assert await watcher.events() == ["changed"]


async def test_changes_come_in_slices_in_their_order_without_gap_or_repeat(store: Any) -> None:
    await store.enqueue([new_job() for _ in range(5)])
    await store.settle([settlement(job.lease) for job in await claim(store)], EPOCH)
    everything = await store.changes(0, 100)
    seqs = [change.seq for change in everything.changes]
    assert seqs == sorted(set(seqs))
    assert len(seqs) == 15
    assert not everything.more
    seen, after, more = [], 0, True
    while more:
        slice_ = await store.changes(after, 4)
        assert len(slice_.changes) <= 4
        assert slice_.complete
        assert slice_.last == slice_.changes[-1].seq
        seen += slice_.changes
        after, more = slice_.last, slice_.more
    assert seen == everything.changes


async def test_changes_of_jobs_that_are_gone_are_passed_over_and_do_not_hold_up(
    store: Any,
) -> None:
    gone = [await bring_to(store, State.DONE) for _ in range(4)]
    kept = await bring_to(store, State.DONE)
    await store.remove([job.id for job in gone])
    first = await store.changes(0, 5)
    assert (first.changes, first.more, first.complete) == ([], True, True)
    assert first.last > 0
    rest = await store.changes(first.last, 100)
    assert [change.id for change in rest.changes] == [kept.id] * 3
    assert rest.complete


async def test_one_who_was_away_too_long_is_told_that_changes_are_missing(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writes, "CHANGES_KEPT", 3)
    await store.enqueue([new_job() for _ in range(10)])
    known = [0, *(change.seq for change in (await store.changes(0, 99)).changes)]
    end = (await store.changes(None, 0)).last
    await store.prune([], EPOCH, 9)
    assert known[-1] == end
    assert (await store.changes(end, 99)).complete
    missing = [at for at in known if not (await store.changes(at, 99)).complete]
    assert missing == known[: len(missing)]  # from some point on all is there
    assert 0 < len(missing) <= len(known) - 3
    for n, at in enumerate(known[len(missing) :], len(missing) + 1):
        found = await store.changes(at, 99)
        assert [change.seq for change in found.changes] == known[n:]


async def test_old_changes_go_and_the_numbers_go_on(
    store: Any, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writes, "CHANGES_KEPT", 0)
    await store.enqueue([new_job()])
    await store.settle([settlement(job.lease) for job in await claim(store)], EPOCH)
    before = (await store.changes(None, 0)).last
    assert await store.prune([(None, State.DONE, EPOCH)], EPOCH + 1, 9) == 1
    assert (await store.changes(None, 0)).last == before
    job = new_job()
    await store.enqueue([job])
    found = await store.changes(before, 9)
    assert [change.id for change in found.changes] == [job.id]
    assert found.changes[0].seq == found.last > before
    assert found.complete


async def test_a_number_from_another_database_is_noticed(store: Any) -> None:
    """After a backup was restored, a client may know more than the store does."""
    await store.enqueue([new_job()])
    assert not (await store.changes(99, 9)).complete


async def test_changes_are_still_there_after_a_restart(backend: Backend) -> None:
    async with backend.open() as store:
        await bring_to(store, State.DONE)
        before = await store.changes(0, 99)
    async with backend.open() as store:
        assert await store.changes(0, 99) == before


async def test_the_bell_rings_when_anything_has_changed(store: Any) -> None:
    job = new_job()
    await store.changes_bell.wait(0)

    async def rings(verb: Any, *args: Any) -> Any:
        answer = await verb(*args)
        assert await store.changes_bell.wait(0), verb
        return answer

    await rings(store.enqueue, [job])
    await rings(store.amend, [Amendment(job.id, priority=1)], EPOCH)
    held = await rings(claim_one, store)
    await rings(store.report, [says(held, "a")], EPOCH)
    await rings(store.cancel, [job.id], EPOCH)
    await rings(store.settle, [settlement(held.lease)], EPOCH)
    await rings(store.retry, [job.id], EPOCH)
    assert not await store.changes_bell.wait(0)


async def test_a_watcher_who_asks_after_the_bell_sees_the_change(store: Any) -> None:
    seen: list[str] = []
    watcher = Watcher(store)

    async def watch() -> None:
        while len(seen) < 3:
            await store.changes_bell.wait()
            seen.extend(await watcher.events())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await store.enqueue([new_job()])
        held = await claim_one(store)
        await store.settle([settlement(held.lease)], EPOCH)
    assert seen == ["queued", "running", "done"]
