"""What has been kept long enough goes, nothing else, and nothing that went comes back."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_jobs.job import Event, State
from trio_jobs.storage.records import Enqueued, Key, LogLine, Progress, Report
from trio_jobs.storage.wishes import Filter, Moved

from ..conftest import EPOCH
from .conftest import Backend, SqliteBackend, on_sqlite
from .jobs import (
    WAYS,
    all_jobs,
    bring_to,
    claim,
    claim_one,
    job_of,
    keyed,
    new_job,
    settlement,
    with_result,
)

FINAL = [state for state in WAYS if state.final]
EVER = EPOCH + 1e6
ALL = [(None, state, EVER) for state in FINAL]


async def ended(store: Any, at: float, type_: str = "noop", state: State = State.DONE) -> str:
    """The id of a job that ended at EPOCH + `at`."""
    await store.enqueue([new_job(type=type_)])
    [held] = await claim(store, 1, type_)
    event = WAYS[state]
    assert event is not None
    await store.settle([settlement(held.lease, event)], EPOCH + at)
    return str(held.id)


async def left(store: Any) -> set[str]:
    return {job.id for job in await all_jobs(store)}


# ── whose time is up ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", WAYS)
async def test_only_finished_jobs_are_removed(store: Any, state: State) -> None:
    held = await bring_to(store, state)
    cutoffs = [(None, state, EVER) for state in State]
    assert await store.prune(cutoffs, EPOCH, 9) == int(state.final)
    assert await left(store) == (set() if state.final else {held.id})


async def test_a_job_is_kept_to_the_moment(store: Any) -> None:
    old, just, young = [await ended(store, at) for at in (9, 10, 10.001)]
    assert await store.prune([(None, State.DONE, EPOCH + 10)], EVER, 9) == 2
    assert await left(store) == {young}
    assert old != just


@pytest.mark.parametrize("at", [1 / 3, 0.1, 2 / 3 + 1e-7, 123_456.789_012_345])
async def test_any_moment_of_the_clock_can_be_the_end_of_a_job(store: Any, at: float) -> None:
    await ended(store, at)
    assert await store.prune(ALL, EVER, 9) == 1


async def test_each_state_has_its_own_time(store: Any) -> None:
    jobs = {(state, at): await ended(store, at, state=state) for state in FINAL for at in (5, 15)}
    cutoffs = [
        (None, State.DONE, EPOCH + 10),
        (None, State.FAILED, -1.0),
        (None, State.CANCELLED, EPOCH + 20),
    ]
    assert await store.prune(cutoffs, EVER, 99) == 3
    assert await left(store) == {
        jobs[State.DONE, 15], jobs[State.FAILED, 5], jobs[State.FAILED, 15],
    }  # fmt: skip


async def test_a_type_with_its_own_rule_is_not_touched_by_that_for_all_others(store: Any) -> None:
    types = ("own", "other", "zzz")
    jobs = {(t, at): await ended(store, at, t) for t in types for at in (5, 15)}
    kept_failed = await ended(store, 5, "zzz", State.FAILED)
    gone_failed = await ended(store, 5, "own", State.FAILED)
    cutoffs = [
        ("own", State.DONE, -1.0),
        (None, State.DONE, EPOCH + 10),
        ("zzz", State.DONE, EPOCH + 20),
        ("zzz", State.FAILED, -1.0),
        (None, State.FAILED, EPOCH + 10),
        ("none", State.DONE, EVER),
    ]
    assert await store.prune(cutoffs, EVER, 99) == 4
    assert await left(store) == {
        jobs["own", 5], jobs["own", 15], jobs["other", 15], kept_failed,
    }  # fmt: skip
    assert gone_failed not in await left(store)


async def test_a_state_or_type_without_a_rule_is_kept(store: Any) -> None:
    done, failed = await ended(store, 0), await ended(store, 0, state=State.FAILED)
    assert await store.prune([], EVER, 9) == 0
    assert await store.prune([("other", State.DONE, EVER)], EVER, 9) == 0
    assert await store.prune([("noop", State.FAILED, EVER)], EVER, 9) == 1
    assert await left(store) == {done}
    assert failed not in await left(store)


async def test_much_is_removed_in_slices(store: Any) -> None:
    await store.enqueue([new_job(type=t) for t in "ab" for _ in range(5)])
    held = await claim(store, 99, "a", "b")
    await store.settle([settlement(job.lease) for job in held], EPOCH)
    got = [await store.prune(ALL, EVER, 4) for _ in range(4)]
    assert got == [4, 4, 2, 0]
    assert await store.prune(ALL, EVER, 0) == 0
    assert await store.counts() == {}


async def test_two_rules_for_the_same_jobs_remove_them_once(store: Any) -> None:
    await bring_to(store, State.DONE)
    assert await store.prune([(None, State.DONE, EVER)] * 2, EPOCH, 9) == 1


# ── who stays all the same ────────────────────────────────────────────────────────────────────


async def test_a_retried_job_is_not_removed(store: Any) -> None:
    held = await bring_to(store, State.FAILED)
    await store.retry([held.id], EPOCH + 5)
    assert await store.prune(ALL, EVER, 9) == 0
    assert (await claim_one(store, now=EPOCH + 5)).id == held.id


async def test_a_job_that_is_retried_while_we_prune_is_not_removed(store: Any) -> None:
    """What is to go is found by a reader; the job may be alive again when it is written."""
    removed: list[int] = []
    held = [await bring_to(store, State.FAILED) for _ in range(3)]

    async def prune() -> None:
        removed.append(await store.prune(ALL, EVER, 9))

    moved: dict[str, Moved] = {}

    async def retry() -> None:
        moved.update(await store.retry([held[1].id], EPOCH + 5))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(prune)
        nursery.start_soon(retry)
    if moved and moved[held[1].id].done:
        assert removed == [2]
        assert (await job_of(store, held[1].id)).state is State.QUEUED
    else:
        assert removed == [3]


async def test_what_was_found_before_a_retry_is_not_removed_after_it(store: Any) -> None:
    held = await bring_to(store, State.FAILED)
    read, found, go = store._read, trio.Event(), trio.Event()

    async def slow(query: str, *args: Any) -> Any:
        answer = await read(query, *args)
        if query == "prunable":
            found.set()
            await go.wait()
        return answer

    removed: list[int] = []

    async def prune() -> None:
        removed.append(await store.prune(ALL, EVER, 9))

    store._store._read = slow
    async with trio.open_nursery() as nursery:
        nursery.start_soon(prune)
        await found.wait()
        await store.retry([held.id], EPOCH + 5)
        again = await claim_one(store, now=EPOCH + 5)
        await store.settle([settlement(again.lease)], EPOCH + 6)
        go.set()
    assert removed == [0]
    assert (await job_of(store, held.id)).state is State.DONE


async def test_a_job_that_holds_its_unique_key_is_kept_until_the_key_is_free(store: Any) -> None:
    held = await bring_to(store, State.DONE, keyed("k", until=EPOCH + 100))
    assert await store.prune(ALL, EPOCH + 99, 9) == 0
    twin = keyed("k", created_at=EPOCH + 99)
    assert (await store.enqueue([twin])).ids == [held.id]
    assert await store.prune(ALL, EPOCH + 100, 9) == 1


async def test_a_key_held_only_while_the_job_lived_does_not_keep_it(store: Any) -> None:
    await bring_to(store, State.DONE, keyed("k"))
    assert await store.prune(ALL, EPOCH, 9) == 1


# ── what goes with them ───────────────────────────────────────────────────────────────────────


async def test_nothing_is_left_of_a_pruned_job(store: Any, backend: Any) -> None:
    await store.enqueue([new_job(b'"body"', callback_url="https://example.com/")])
    held = await claim_one(store)
    said = Report(held.id, held.lease_token, Progress(1), [LogLine(EPOCH, "INFO", "x", 1)])
    await store.settle([settlement(held.lease, Event.RELEASE)], EPOCH, [said])
    await store.settle([with_result(await claim_one(store), b'"result"')], EPOCH)
    assert await store.prune(ALL, EVER, 9) == 1
    assert await store.get([held.id]) == await store.counts() == {}
    assert await store.attempts(held.id) == await store.logs(held.id, 0, 9) == []
    for table in backend.tables:
        assert backend.ask(f"select count(*) from {table}") == 0


async def test_expired_idempotency_keys_go_and_others_stay(store: Any, backend: Backend) -> None:
    keys = {at: Key(f"key {at}", "f", EPOCH + at) for at in (10, 20)}
    ids = {at: (await store.enqueue([new_job()], key)).ids for at, key in keys.items()}
    await store.prune([], EPOCH + 10, 9)
    assert backend.ask("select count(*) from idempotency_keys") == 1
    again = await store.enqueue([new_job()], keys[20])
    assert again == Enqueued(ids[20], replayed=True)
    assert not (await store.enqueue([new_job()], keys[10])).replayed


# ── numbers ───────────────────────────────────────────────────────────────────────────────────


async def remove_all(store: Any, how: str) -> None:
    if how == "remove":
        await store.remove([job.id for job in await all_jobs(store)])
    else:
        await store.prune(ALL, EVER, 99)
    assert await store.counts() == {}


@pytest.mark.parametrize("how", ["remove", "prune"])
async def test_the_number_of_the_youngest_job_is_not_given_again(
    backend: Backend, how: str
) -> None:
    """A watcher's cursor, or a slow writer's note, would point at a stranger."""
    async with backend.open() as store:
        for _ in range(3):
            await ended(store, 0)
        [*_, (last,)] = backend.rows("seq")
        await remove_all(store, how)
        jobs = [new_job(), keyed("k")]
        await store.enqueue(jobs)
        assert [seq for (seq,) in backend.rows("seq")] == [last + 1, last + 2]
        await store.cancel([job.id for job in jobs], EPOCH)
        await remove_all(store, how)
    async with backend.open() as store:
        await store.enqueue([keyed("k"), new_job()])
        assert min(seq for (seq,) in backend.rows("seq")) > last + 2


@pytest.mark.parametrize("how", ["remove", "prune"])
async def test_what_happened_to_a_removed_job_is_not_told_of_a_new_one(
    store: Any, how: str
) -> None:
    await ended(store, 0)
    before = (await store.changes(None, 0)).last
    await remove_all(store, how)
    assert (await store.changes(0, 99)).changes == []
    job = new_job()
    await store.enqueue([job])
    found = await store.changes(0, 99)
    assert [(change.id, change.event) for change in found.changes] == [(job.id, "queued")]
    assert found.changes[0].seq > before
    assert found.complete


async def test_an_old_page_cursor_does_not_lead_to_new_jobs(store: Any) -> None:
    for _ in range(4):
        await ended(store, 0)
    page = await store.list_jobs(Filter(), before=None, limit=2)
    await remove_all(store, "prune")
    await store.enqueue([new_job() for _ in range(4)])
    assert (await store.list_jobs(Filter(), before=page.next, limit=9)).jobs == []


# ── the file ──────────────────────────────────────────────────────────────────────────────────


def size(path: Path) -> int:
    return path.stat().st_size


@on_sqlite
async def test_the_file_shrinks_when_much_has_gone(backend: SqliteBackend) -> None:
    async with backend.open() as store:
        body = b'"' + b"x" * 20_000 + b'"'
        await store.enqueue([new_job(body) for _ in range(600)])
        await store.settle([settlement(job.lease) for job in await claim(store, 999)], EPOCH)
        assert await store.prune(ALL, EVER, 999) == 600
    before = size(backend.path)
    assert before > 11e6
    async with backend.open() as store:
        for _ in range(30):
            await store.prune(ALL, EVER, 999)
    assert size(backend.path) < before / 2


@on_sqlite
async def test_a_prune_does_not_hold_up_others_for_a_huge_file(backend: SqliteBackend) -> None:
    """A whole vacuum would take seconds; each call gives a little back."""
    async with backend.open() as store:
        await store.enqueue([new_job(b'"' + b"x" * 20_000 + b'"') for _ in range(600)])
        await store.settle([settlement(job.lease) for job in await claim(store, 999)], EPOCH)
        await store.prune(ALL, EVER, 999)
        pages = [backend.audit().execute("pragma page_count").get]
        for _ in range(3):
            await store.prune(ALL, EVER, 999)
            pages.append(backend.audit().execute("pragma page_count").get)
    steps = [a - b for a, b in itertools.pairwise(pages)]
    assert all(0 < step <= 500 for step in steps)
