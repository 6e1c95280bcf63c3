"""What a person does to jobs: cancel, retry, remove."""

from typing import Any

import pytest
import trio

from trio_jobs.job import CRASHES_ALLOWED, TRANSITIONS, Event, Reason, State, Verdict
from trio_jobs.job import Error as Wrong
from trio_jobs.storage.records import Error, Lease, LogLine, Progress, Report, Settlement
from trio_jobs.storage.wishes import Moved

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
    with_result,
)


async def asked_to_stop(store: Any, **changes: Any) -> Any:
    """A running job that was asked to stop, as it was claimed."""
    await store.enqueue([new_job(**changes)])
    held = await claim_one(store)
    assert await store.cancel([held.id], EPOCH + 1) == {
        held.id: Moved(State.RUNNING, State.RUNNING, done=True)
    }
    return held


# ── cancel ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", WAYS)
async def test_a_cancel_moves_exactly_the_jobs_that_the_table_lets_it_move(
    store: Any, state: State
) -> None:
    held = await bring_to(store, state)
    before = await job_of(store, held.id)
    moved = await store.cancel([held.id], EPOCH + 5)
    after = await job_of(store, held.id)
    if state is State.RUNNING:  # its worker ends it
        assert moved == {held.id: Moved(state, state, done=True)}
        assert (after.state, after.cancel_requested_at) == (state, EPOCH + 5)
        assert (after.version, after.updated_at) == (before.version + 1, EPOCH + 5)
    elif Event.CANCEL in TRANSITIONS[state]:
        assert moved == {held.id: Moved(state, State.CANCELLED, done=True)}
        assert after.state is TRANSITIONS[state][Event.CANCEL]
        assert (after.reason, after.finished_at) == ("cancelled", EPOCH + 5)
        assert (after.version, after.updated_at) == (before.version + 1, EPOCH + 5)
    else:
        assert moved == {held.id: Moved(state, state, done=False)}
        assert after == before


async def test_a_job_cancelled_in_its_queue_is_never_run(store: Any) -> None:
    waiting, later, kept = new_job(), due_in(5), new_job()
    await store.enqueue([waiting, later, kept])
    await store.cancel([waiting.id, later.id], EPOCH)
    assert await store.promote(EPOCH + 9, 9) == (0, None)
    assert [job.id for job in await claim(store, now=EPOCH + 9)] == [kept.id]


async def test_of_a_cancel_and_a_claim_at_the_same_time_one_knows_of_the_other(store: Any) -> None:
    job = new_job()
    await store.enqueue([job])
    moved: dict[str, Moved] = {}
    claimed: list[Any] = []

    async def cancel() -> None:
        moved.update(await store.cancel([job.id], EPOCH))

    async def worker() -> None:
        claimed.extend(await claim(store))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel)
        nursery.start_soon(worker)
    assert (moved[job.id].was is State.RUNNING) == bool(claimed)


async def test_a_cancel_leaves_out_what_does_not_exist_and_counts_nothing_twice(
    store: Any,
) -> None:
    job, other = new_job(), new_job()
    await store.enqueue([job, other])
    done = Moved(State.QUEUED, State.CANCELLED, done=True)
    assert await store.cancel([job.id, "none", "", job.id], EPOCH) == {job.id: done}
    assert await store.cancel([], EPOCH) == {}
    assert await store.counts() == {"default": {State.QUEUED: 1, State.CANCELLED: 1}}
    assert (await job_of(store, job.id)).version == 2


async def test_a_worker_hears_which_of_its_jobs_to_stop_until_they_have_stopped(
    store: Any,
) -> None:
    await store.enqueue([new_job() for _ in range(4)])
    mine, _ = await claim(store, 2, worker="me")
    theirs = await claim_one(store, worker="they")
    assert await store.cancels("me") == []
    assert not await store.cancels_bell.wait(0)
    await store.cancel([mine.id, theirs.id], EPOCH)
    assert await store.cancels_bell.wait(0)
    assert await store.cancels("me") == [mine.lease]
    assert await store.cancels("they") == [theirs.lease]
    assert await store.cancels("nobody") == []
    await store.settle([settlement(mine.lease, Event.CANCEL)], EPOCH)
    assert await store.cancels("me") == []


async def test_a_second_request_to_stop_does_not_hide_when_the_first_came(store: Any) -> None:
    held = await asked_to_stop(store)
    before = await job_of(store, held.id)
    moved = await store.cancel([held.id], EPOCH + 9)
    assert (moved[held.id].was, moved[held.id].state) == (State.RUNNING, State.RUNNING)
    assert await job_of(store, held.id) == before


async def test_a_job_asked_to_stop_keeps_its_lease_while_it_cleans_up(store: Any) -> None:
    held = await asked_to_stop(store)
    assert await store.extend([held.lease], EPOCH + 99) == {held.id}
    assert await store.rescue(EPOCH + 98, 9) == (0, 0)
    assert await store.report([Report(held.id, held.lease_token, None, [])], EPOCH) == {held.id}


@pytest.mark.parametrize("event", [Event.RELEASE, Event.RETRY_LATER, Event.SNOOZE])
async def test_a_job_asked_to_stop_that_would_wait_again_is_cancelled(
    store: Any, event: Event
) -> None:
    held = await asked_to_stop(store)
    assert await store.settle([settlement(held.lease, event)], EPOCH + 5) == {held.id}
    job = await job_of(store, held.id)
    assert (job.state, job.reason, job.finished_at) == (State.CANCELLED, "cancelled", EPOCH + 5)
    assert await store.promote(EPOCH + 999, 9) == (0, None)
    assert await claim(store, now=EPOCH + 999) == []
    assert (job.error is not None) == (event is Event.RETRY_LATER)


@pytest.mark.parametrize("event", [Event.SUCCEED, Event.FAIL, Event.CANCEL])
async def test_a_job_asked_to_stop_that_ends_by_itself_ends_as_it_says(
    store: Any, event: Event
) -> None:
    held = await asked_to_stop(store)
    assert await store.settle([settlement(held.lease, event)], EPOCH + 5) == {held.id}
    job = await job_of(store, held.id)
    assert job.state is TRANSITIONS[State.RUNNING][event]
    assert job.result_text == ('"result"' if event is Event.SUCCEED else None)


@pytest.mark.parametrize("crashes", range(CRASHES_ALLOWED))
async def test_a_job_asked_to_stop_is_not_run_again_when_its_worker_dies(
    store: Any, crashes: int
) -> None:
    await store.enqueue([new_job()])
    time = EPOCH
    for _ in range(crashes):
        await claim(store, now=time)
        time += LEASE
        await store.rescue(time, 9)
    held = await claim_one(store, now=time)
    await store.cancel([held.id], time)
    assert await store.rescue(time + LEASE, 9) == (0, 0)
    job = await job_of(store, held.id)
    assert (job.state, job.reason, job.finished_at) == (
        State.CANCELLED, "cancelled", time + LEASE,
    )  # fmt: skip
    assert await claim(store, now=time + 99) == []
    assert await store.settle([settlement(held.lease)], time + 99) == set()


async def test_a_request_to_stop_is_still_there_after_a_restart(backend: Backend) -> None:
    async with backend.open() as store:
        await store.enqueue([new_job()])
        held = await claim_one(store, worker=store.identity)
        await store.cancel([held.id], EPOCH)
    async with backend.open() as store:
        await store.rescue(EPOCH + 99, 9)
        assert await state_of(store, held.id) is State.CANCELLED


async def test_why_and_with_what_error_a_handler_cancelled_itself_is_kept(store: Any) -> None:
    await store.enqueue([new_job()])
    held = await claim_one(store)
    verdict = Verdict.cancelled(Reason.DEADLINE, Wrong("Late", "too late", "tb"))
    await store.settle([Settlement.of(held.lease, verdict)], EPOCH)
    job = await job_of(store, held.id)
    assert (job.state, job.reason) == (State.CANCELLED, "deadline")
    assert job.error == Error("Late", "too late", "tb")


async def test_a_cancelled_job_gives_its_unique_key_back(store: Any) -> None:
    first, second = keyed("k"), keyed("k")
    await store.enqueue([first])
    await store.cancel([first.id], EPOCH)
    assert (await store.enqueue([second])).ids == [second.id]


# ── retry ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", WAYS)
async def test_a_retry_moves_exactly_the_jobs_that_the_table_lets_it_move(
    store: Any, state: State
) -> None:
    held = await bring_to(store, state)
    before = await job_of(store, held.id)
    moved = await store.retry([held.id], EPOCH + 5)
    after = await job_of(store, held.id)
    if Event.RETRY not in TRANSITIONS[state]:
        assert moved == {held.id: Moved(state, state, done=False)}
        assert after == before
        return
    assert moved == {held.id: Moved(state, State.QUEUED, done=True)}
    assert after.state is TRANSITIONS[state][Event.RETRY]
    assert (after.attempt, after.reason, after.finished_at) == (0, None, None)
    assert (after.run_at, after.updated_at) == (EPOCH + 5, EPOCH + 5)
    assert after.version == before.version + 1
    assert after.result_text is after.result_content_type is None
    again = await claim_one(store, now=EPOCH + 6)
    assert (again.id, again.attempt, again.crashes) == (held.id, 1, 0)
    assert again.lease_token != held.lease_token


async def test_a_retried_job_has_all_its_attempts_and_crashes_again(
    store: Any, backend: Backend
) -> None:
    job = new_job(max_attempts=2)
    await store.enqueue([job])
    for time in (EPOCH, EPOCH + 100, EPOCH + 200):
        await claim(store, now=time)
        await store.rescue(time + LEASE, 9)
    assert (await job_of(store, job.id)).reason == "poison"
    await store.retry([job.id], EPOCH + 300)
    assert backend.rows("attempt, crashes, max_attempts") == [(0, 0, 2)]
    await claim(store, now=EPOCH + 300)
    assert await store.rescue(EPOCH + 400, 9) == (1, 0)


async def test_the_history_of_a_retried_job_stays(store: Any) -> None:
    job = new_job()
    await store.enqueue([job])
    for n, event in enumerate((Event.FAIL, Event.SUCCEED, Event.CANCEL)):
        time = EPOCH + 10 * n
        held = await claim_one(store, now=time)
        await store.settle([settlement(held.lease, event)], time + 1)
        await store.retry([job.id], time + 2)
    held = await claim_one(store, now=EPOCH + 40, worker="last")
    history = await store.attempts(job.id)
    assert [(a.attempt, a.started_at, a.finished_at, a.outcome) for a in history] == [
        (1, EPOCH, EPOCH + 1, "permanent"),
        (1, EPOCH + 10, EPOCH + 11, "done"),
        (1, EPOCH + 20, EPOCH + 21, "cancelled"),
        (1, EPOCH + 40, None, "running"),
    ]
    assert [a.worker for a in history] == ["remote-1"] * 3 + ["last"]
    assert [a.error is not None for a in history] == [True, False, False, False]
    assert (await job_of(store, job.id)).error == Error(BOOM.type, BOOM.message, BOOM.traceback)


@pytest.mark.parametrize("event", [Event.FAIL, Event.SUCCEED, Event.CANCEL])
async def test_two_attempts_that_ended_in_the_same_instant_are_both_told(
    store: Any, event: Event
) -> None:
    held = await bring_to(store, State.FAILED)
    await store.retry([held.id], EPOCH)
    again = await claim_one(store)
    await store.settle([settlement(again.lease, event)], EPOCH)
    assert len(await store.attempts(held.id)) == 2


async def test_a_retry_of_a_job_that_never_ran_tells_of_no_attempt(store: Any) -> None:
    job = new_job()
    await store.enqueue([job])
    await store.cancel([job.id], EPOCH)
    await store.retry([job.id], EPOCH)
    assert await store.attempts(job.id) == []


async def test_the_old_result_is_not_mistaken_for_the_new_one(store: Any) -> None:
    await store.enqueue([new_job()])
    held = await claim_one(store)
    await store.settle([with_result(held, b"\0", "a/b")], EPOCH)
    await store.retry([held.id], EPOCH + 1)
    again = await claim_one(store, now=EPOCH + 2)
    await store.settle([Settlement.of(again.lease, Verdict(Event.SUCCEED))], EPOCH + 3)
    job = await job_of(store, held.id)
    assert job.state is State.DONE
    assert job.result_text is job.result_hex is job.result_content_type is None


async def test_the_progress_of_an_old_life_is_not_shown_in_the_new_one(store: Any) -> None:
    await store.enqueue([new_job()])
    held = await claim_one(store)
    half = Report(held.id, held.lease_token, Progress(1, 2), [])
    await store.settle([settlement(held.lease)], EPOCH, [half])
    await store.retry([held.id], EPOCH)
    assert (await job_of(store, held.id)).progress is None


@pytest.mark.parametrize(("deadline", "left"), [(9, None), (10, None), (11, EPOCH + 11)])
async def test_a_deadline_that_has_passed_does_not_cancel_the_retry(
    store: Any, deadline: float, left: float | None
) -> None:
    held = await bring_to(store, State.FAILED, new_job(deadline=EPOCH + deadline))
    await store.retry([held.id], EPOCH + 10)
    assert (await job_of(store, held.id)).deadline == left
    assert await store.expire(EPOCH + 10, 9) == (0, left)
    assert await state_of(store, held.id) is State.QUEUED


async def test_a_retried_job_does_not_remember_that_it_was_asked_to_stop(store: Any) -> None:
    held = await asked_to_stop(store)
    await store.settle([settlement(held.lease, Event.CANCEL)], EPOCH)
    await store.retry([held.id], EPOCH)
    assert (await job_of(store, held.id)).cancel_requested_at is None
    again = await claim_one(store)
    assert await store.cancels("remote-1") == []
    await store.settle([settlement(again.lease, Event.RELEASE)], EPOCH)
    assert await state_of(store, held.id) is State.QUEUED


async def test_a_retry_wakes_the_workers(store: Any) -> None:
    held = await bring_to(store, State.FAILED)
    await store.doorbell.wait(0)
    await store.retry([held.id], EPOCH)
    assert await store.doorbell.wait(0)


async def test_a_retry_does_not_bring_back_the_twin_of_a_job_that_waits(store: Any) -> None:
    old = await bring_to(store, State.FAILED, keyed("k"))
    new = keyed("k")
    await store.enqueue([new])
    before = await job_of(store, old.id)
    assert await store.retry([old.id], EPOCH) == {
        old.id: Moved(State.FAILED, State.FAILED, done=False)
    }
    assert await job_of(store, old.id) == before
    await store.cancel([new.id], EPOCH)
    assert (await store.retry([old.id], EPOCH))[old.id].done


async def test_a_retried_job_holds_its_unique_key_again(store: Any) -> None:
    old = await bring_to(store, State.FAILED, keyed("k"))
    await store.retry([old.id], EPOCH)
    assert (await store.enqueue([keyed("k")])).ids == [old.id]


async def test_of_two_with_one_key_that_are_retried_together_one_runs(store: Any) -> None:
    first = await bring_to(store, State.FAILED, keyed("k"))
    second = await bring_to(store, State.FAILED, keyed("k"))
    other = await bring_to(store, State.FAILED, keyed("k", type="other"))
    moved = await store.retry([first.id, second.id, other.id, first.id], EPOCH)
    assert {id_: move.done for id_, move in moved.items()} == {
        first.id: True, second.id: False, other.id: True,
    }  # fmt: skip


async def test_a_key_that_has_expired_does_not_stand_in_the_way_of_a_retry(store: Any) -> None:
    old = await bring_to(store, State.FAILED, keyed("k"))
    await bring_to(store, State.DONE, keyed("k", until=EPOCH + 10))
    assert not (await store.retry([old.id], EPOCH + 9))[old.id].done
    assert (await store.retry([old.id], EPOCH + 10))[old.id].done


async def test_the_holder_of_a_key_can_be_retried_beside_one_that_lost_it(store: Any) -> None:
    old = await bring_to(store, State.FAILED, keyed("k"))
    holder = await bring_to(store, State.FAILED, keyed("k", until=EPOCH + 10))
    moved = await store.retry([old.id, holder.id], EPOCH)
    assert [moved[id_].done for id_ in (old.id, holder.id)] == [False, True]


async def test_a_retry_leaves_out_what_does_not_exist(store: Any) -> None:
    held = await bring_to(store, State.DONE)
    moved = await store.retry(["none", held.id, held.id], EPOCH)
    assert moved == {held.id: Moved(State.DONE, State.QUEUED, done=True)}
    assert await store.retry([], EPOCH) == {}
    assert (await job_of(store, held.id)).version == 4


# ── remove ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", WAYS)
async def test_a_remove_takes_finished_jobs_and_no_other(store: Any, state: State) -> None:
    held = await bring_to(store, state)
    before = await store.get([held.id])
    moved = await store.remove([held.id])
    if state.final:
        assert moved == {held.id: Moved(state, None, done=True)}
        assert await store.get([held.id]) == await store.counts() == {}
    else:
        assert moved == {held.id: Moved(state, state, done=False)}
        assert await store.get([held.id]) == before


async def test_a_removed_job_leaves_nothing_behind(store: Any) -> None:
    await store.enqueue([new_job()])
    held = await claim_one(store)
    line = Report(held.id, held.lease_token, Progress(1), [LogLine(EPOCH, "INFO", "secret", 1)])
    await store.settle([settlement(held.lease, Event.RETRY_LATER)], EPOCH, [line])
    await store.promote(EPOCH + 99, 9)
    again = await claim_one(store)
    await store.settle([with_result(again, b'"secret"')], EPOCH)
    assert (await store.remove([held.id]))[held.id].done
    assert await store.attempts(held.id) == await store.logs(held.id, 0, 9) == []
    assert await store.remove([held.id]) == await store.retry([held.id], EPOCH) == {}
    assert await store.settle([settlement(Lease(held.id, again.lease_token))], EPOCH) == set()


async def test_a_new_job_does_not_inherit_from_a_removed_one(store: Any) -> None:
    old = await bring_to(store, State.FAILED)
    await store.remove([old.id, "none", old.id])
    new = new_job(id=old.id)
    await store.enqueue([new])
    assert await store.attempts(new.id) == []
    assert (await job_of(store, new.id)).error is None


async def test_a_removed_job_gives_its_unique_key_back(store: Any) -> None:
    old = await bring_to(store, State.DONE, keyed("k", until=EPOCH + 1e6))
    new = keyed("k")
    assert (await store.enqueue([new])).ids == [old.id]
    await store.remove([old.id])
    assert (await store.enqueue([new])).ids == [new.id]


async def test_a_mixed_batch_is_told_apart(store: Any) -> None:
    held = {state: await bring_to(store, state) for state in (State.DONE, State.RUNNING)}
    waiting = new_job()
    await store.enqueue([waiting])
    ids = [held[State.DONE].id, held[State.RUNNING].id, waiting.id]
    assert [m.done for m in (await store.remove(ids)).values()] == [True, False, False]
    assert [m.done for m in (await store.cancel(ids, EPOCH)).values()] == [True, True]
    assert [m.done for m in (await store.retry(ids, EPOCH)).values()] == [False, True]


def test_every_verdict_that_waits_again_is_tried_here() -> None:
    waits = {e for e in VERDICTS if not TRANSITIONS[State.RUNNING][e].final}
    assert waits == {Event.RELEASE, Event.RETRY_LATER, Event.SNOOZE}
