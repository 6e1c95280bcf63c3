"""Changes to jobs that wait."""

from typing import Any

import pytest
import trio

from trio_jobs.job import TRANSITIONS, Event, State
from trio_jobs.storage.wishes import Amendment, Moved

from ..conftest import EPOCH
from .jobs import WAYS, bring_to, claim, claim_one, due_in, job_of, new_job, settlement, state_of

WAITS = (State.SCHEDULED, State.QUEUED)


@pytest.mark.parametrize("state", WAYS)
async def test_only_a_job_that_waits_is_changed(store: Any, state: State) -> None:
    held = await bring_to(store, state)
    before = await job_of(store, held.id)
    moved = await store.amend([Amendment(held.id, priority=9)], EPOCH + 5)
    after = await job_of(store, held.id)
    assert moved == {held.id: Moved(state, state, done=state in WAITS)}
    if state in WAITS:
        assert (after.priority, after.state) == (9, state)
        assert (after.version, after.updated_at) == (before.version + 1, EPOCH + 5)
    else:
        assert after == before


@pytest.mark.parametrize("state", WAITS)
@pytest.mark.parametrize("run_at", [-9, 5, 5.001, 99])
async def test_the_state_follows_from_the_new_run_at(
    store: Any, state: State, run_at: float
) -> None:
    """A job that is scheduled but due would lie there until the next promote, or for ever."""
    held = await bring_to(store, state)
    moved = await store.amend([Amendment(held.id, run_at=EPOCH + run_at)], EPOCH + 5)
    wanted = State.SCHEDULED if run_at > 5 else State.QUEUED
    assert moved == {held.id: Moved(state, wanted, done=True)}
    assert wanted in {
        state,
        TRANSITIONS[state].get(Event.POSTPONE),
        TRANSITIONS[state].get(Event.PROMOTE),
    }
    job = await job_of(store, held.id)
    assert (job.state, job.run_at) == (wanted, EPOCH + run_at)
    assert len(await claim(store, now=EPOCH + 5)) == (wanted is State.QUEUED)


async def test_a_postponed_job_comes_back_when_it_is_due(store: Any) -> None:
    job = new_job()
    await store.enqueue([job])
    await store.amend([Amendment(job.id, run_at=EPOCH + 60)], EPOCH)
    assert await claim(store, now=EPOCH + 59) == []
    assert await store.promote(EPOCH + 59, 9) == (0, EPOCH + 60)
    assert await store.promote(EPOCH + 60, 9) == (1, None)
    assert (await claim_one(store, now=EPOCH + 60)).id == job.id


async def test_a_job_brought_forward_wakes_the_workers(store: Any) -> None:
    job = due_in(99)
    await store.enqueue([job])
    await store.doorbell.wait(0)
    await store.amend([Amendment(job.id, run_at=EPOCH)], EPOCH)
    assert await store.doorbell.wait(0)
    assert (await claim_one(store)).id == job.id


CHANGES: dict[str, Any] = {
    "run_at": EPOCH - 5,
    "priority": -3,
    "queue": "other",
    "tags": ["new", "é"],
    "timeout": 7.5,
}


@pytest.mark.parametrize("field", CHANGES)
async def test_what_is_not_mentioned_stays(store: Any, field: str) -> None:
    job = new_job(
        b'"body"',
        priority=4,
        tags=["t"],
        timeout=1.5,
        params={"a": "b"},
        deadline=EPOCH + 99,
        backoff={"base": 1},
        unique_key="k",
        unique_until=1e18,
    )
    await store.enqueue([job])
    before = await job_of(store, job.id)
    await store.amend([Amendment(job.id, **{field: CHANGES[field]})], EPOCH)
    after = await job_of(store, job.id)
    different = {f for f in before.__struct_fields__ if getattr(before, f) != getattr(after, f)}
    assert different == {field, "version"}
    assert getattr(after, field) == CHANGES[field]


async def test_all_changes_can_come_at_once(store: Any) -> None:
    job = due_in(50)
    await store.enqueue([job])
    await store.amend([Amendment(job.id, version=1, **CHANGES)], EPOCH)
    after = await job_of(store, job.id)
    assert {field: getattr(after, field) for field in CHANGES} == CHANGES
    assert after.state is State.QUEUED


async def test_tags_can_be_taken_away_and_zeros_are_values(store: Any) -> None:
    job = new_job(tags=["t"], priority=5)
    await store.enqueue([job])
    await store.amend([Amendment(job.id, tags=[], priority=0)], EPOCH)
    after = await job_of(store, job.id)
    assert (after.tags, after.priority) == ([], 0)


async def test_why_a_job_waits_is_not_forgotten_with_a_new_priority(store: Any) -> None:
    released = await bring_to(store, State.QUEUED)
    delayed = await bring_to(store, State.SCHEDULED, new_job(type="delayed"))
    assert await reason(store, released.id) == "shutdown"
    assert await reason(store, delayed.id) == "retry"
    await store.amend([Amendment(released.id, priority=1)], EPOCH)
    await store.amend([Amendment(delayed.id, priority=1)], EPOCH)
    assert await reason(store, delayed.id) == "retry"
    assert await reason(store, released.id) == "shutdown"


async def reason(store: Any, id_: str) -> str | None:
    found: str | None = (await job_of(store, id_)).reason
    return found


async def test_the_new_queue_and_priority_decide_who_is_next(store: Any) -> None:
    first, second, third = new_job(), new_job(), new_job(queue="other")
    await store.enqueue([first, second, third])
    await store.amend([Amendment(second.id, priority=1), Amendment(third.id, priority=2)], EPOCH)
    await store.amend([Amendment(first.id, queue="other")], EPOCH)
    assert await store.counts() == {"default": {State.QUEUED: 1}, "other": {State.QUEUED: 2}}
    assert [job.id for job in await claim(store, queues={"other": 9})] == [third.id, first.id]
    assert [job.id for job in await claim(store)] == [second.id]


async def test_two_people_do_not_overwrite_each_other(store: Any) -> None:
    job = new_job()
    await store.enqueue([job])
    moves: list[Moved] = []

    async def person(priority: int) -> None:
        wish = Amendment(job.id, version=1, priority=priority)
        moves.append((await store.amend([wish], EPOCH))[job.id])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(person, 1)
        nursery.start_soon(person, 2)
    assert sorted(move.done for move in moves) == [False, True]
    assert (await job_of(store, job.id)).version == 2


@pytest.mark.parametrize("version", [0, 1, 3, 99])
async def test_a_job_that_has_changed_since_is_left_alone(store: Any, version: int) -> None:
    job = new_job()
    await store.enqueue([job])
    await store.amend([Amendment(job.id, priority=1)], EPOCH)
    before = await job_of(store, job.id)
    late = Amendment(job.id, version=version, priority=2, run_at=EPOCH + 9, queue="x")
    assert await store.amend([late], EPOCH) == {
        job.id: Moved(State.QUEUED, State.QUEUED, done=False)
    }
    assert await job_of(store, job.id) == before


async def test_many_are_changed_each_in_its_way_and_unknown_ones_left_out(store: Any) -> None:
    jobs = [new_job() for _ in range(3)]
    await store.enqueue(jobs)
    wishes = [Amendment(job.id, priority=n) for n, job in enumerate(jobs)]
    moved = await store.amend([*wishes, Amendment("none", priority=1)], EPOCH)
    assert set(moved) == {job.id for job in jobs}
    assert [(await job_of(store, job.id)).priority for job in jobs] == [0, 1, 2]
    assert await store.amend([], EPOCH) == {}


async def test_a_postponed_job_that_was_claimed_meanwhile_runs_on(store: Any) -> None:
    job = new_job()
    await store.enqueue([job])
    held = await claim_one(store)
    moved = await store.amend([Amendment(job.id, run_at=EPOCH + 60, queue="x")], EPOCH)
    assert moved == {job.id: Moved(State.RUNNING, State.RUNNING, done=False)}
    assert await store.settle([settlement(held.lease)], EPOCH) == {job.id}
    assert await state_of(store, job.id) is State.DONE


@pytest.mark.parametrize(
    "wishes",
    [
        [{"priority": 1}, {"queue": "b"}],
        [{"queue": "b"}, {"priority": 1}],
        [{"queue": "b"}, {"queue": "c"}],
        [{"run_at": EPOCH + 9}, {"queue": "b"}],
    ],
)
async def test_a_job_named_twice_in_one_call_is_still_counted_once(
    store: Any, wishes: list[dict[str, Any]]
) -> None:
    job = new_job()
    await store.enqueue([job])
    await store.amend([Amendment(job.id, **wish) for wish in wishes], EPOCH)
    after = await job_of(store, job.id)
    assert await store.counts() == {after.queue: {after.state: 1}}
    assert (after.state is State.SCHEDULED) == (after.run_at > EPOCH)
