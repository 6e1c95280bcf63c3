"""What must not be done twice: unique keys and idempotency keys."""

from typing import Any

import pytest
import trio

from trio_jobs.errors import Conflict, KeyReused
from trio_jobs.job import Event, State
from trio_jobs.storage.records import UNTIL_FINISHED, Enqueued, Job, Key, NewJob

from ..conftest import EPOCH
from .conftest import Backend, SqliteBackend, on_sqlite
from .jobs import (
    WAYS,
    all_jobs,
    bring_to,
    claim,
    claim_one,
    count_steps,
    due_in,
    job_of,
    keyed,
    new_job,
    settlement,
    state_of,
)

DAY = 86_400.0
LIVE = [state for state in WAYS if not state.final]
ENDED = [state for state in WAYS if state.final]


def same(fingerprint: str = "f", key: str = "key", until: float = EPOCH + DAY) -> Key:
    return Key(key, fingerprint, until)


async def ids(store: Any) -> list[str]:
    return [job.id for job in reversed(await all_jobs(store))]


# ── unique keys: return ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", LIVE)
async def test_an_unfinished_job_stands_for_its_twin(store: Any, state: State) -> None:
    held = await bring_to(store, state, keyed("k"))
    before = await job_of(store, held.id)
    assert await store.enqueue([keyed("k", payload=b'"new"')]) == Enqueued([held.id])
    assert await job_of(store, held.id) == before
    assert await ids(store) == [held.id]


@pytest.mark.parametrize("state", ENDED)
async def test_a_finished_job_does_not_stand_in_the_way_of_the_next(
    store: Any, state: State
) -> None:
    held = await bring_to(store, state, keyed("k"))
    new = keyed("k")
    assert await store.enqueue([new]) == Enqueued([new.id])
    assert await ids(store) == [held.id, new.id]
    assert (await job_of(store, new.id)) == Job.fresh(new)


async def test_a_job_that_crashed_its_worker_keeps_its_key(store: Any) -> None:
    held = await bring_to(store, State.RUNNING, keyed("k"))
    await store.rescue(EPOCH + 99, 9)
    assert (await store.enqueue([keyed("k", created_at=EPOCH + 99)])).ids == [held.id]


async def test_a_key_belongs_to_its_type(store: Any) -> None:
    jobs = [keyed("k", type="a"), keyed("k", type="b"), keyed("K", type="a"), keyed("", type="a")]
    assert (await store.enqueue(jobs)).ids == [job.id for job in jobs]
    again = [keyed(job.unique_key or "", type=job.type) for job in jobs]
    assert (await store.enqueue(again)).ids == [job.id for job in jobs]


async def test_jobs_without_a_key_are_nobodys_twins(store: Any) -> None:
    jobs = [new_job(), keyed("k"), new_job()]
    assert (await store.enqueue(jobs)).ids == [job.id for job in jobs]
    assert len(await ids(store)) == 3


async def test_in_a_mixed_batch_each_answer_stands_in_its_place(store: Any) -> None:
    old = keyed("old")
    await store.enqueue([old])
    batch = [new_job(), keyed("old"), keyed("new"), new_job(), keyed("new"), keyed("old")]
    a, _, c, d, _, _ = (job.id for job in batch)
    assert (await store.enqueue(batch)).ids == [a, old.id, c, d, c, old.id]
    assert set(await ids(store)) == {old.id, a, c, d}
    assert len(await claim(store)) == 4


@pytest.mark.parametrize("body", [b"\0\xff", b""])
async def test_raw_bodies_come_through_the_unique_door_as_well(store: Any, body: bytes) -> None:
    job = keyed("k", payload=body, content_type="a/b", tags=["t"], params={"a": "b"})
    await store.enqueue([job, keyed("k")])
    held = await claim_one(store)
    assert (held.payload, held.content_type, held.params) == (body, "a/b", {"a": "b"})


async def test_twins_that_come_at_the_same_moment_become_one_job(store: Any) -> None:
    jobs = [keyed("k") for _ in range(10)]
    got: list[str] = []

    async def client(job: NewJob) -> None:
        got.extend((await store.enqueue([job])).ids)

    async with trio.open_nursery() as nursery:
        for job in jobs:
            nursery.start_soon(client, job)
            nursery.start_soon(client, new_job())
    [one] = [job.id for job in await all_jobs(store, keys=["k"])]
    assert got.count(one) == 10
    assert len(await ids(store)) == 11


async def test_an_id_used_twice_is_not_taken_for_a_twin(store: Any) -> None:
    job = keyed("k")
    await store.enqueue([job])
    with pytest.raises(Exception, match=r"(?i)unique"):
        await store.enqueue([keyed("other", id=job.id)])
    assert await ids(store) == [job.id]


# ── unique keys: for a time ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", ENDED)
async def test_a_key_for_an_hour_outlives_its_job_and_then_goes(store: Any, state: State) -> None:
    held = await bring_to(store, state, keyed("k", until=EPOCH + 3_600))
    late, later = keyed("k", created_at=EPOCH + 3_599), keyed("k", created_at=EPOCH + 3_600)
    assert (await store.enqueue([late])).ids == [held.id]
    assert (await store.enqueue([later])).ids == [later.id]
    assert await store.get([late.id]) == {}


async def test_a_key_that_expired_while_its_job_runs_is_free(store: Any) -> None:
    held = await bring_to(store, State.RUNNING, keyed("k", until=EPOCH + 10))
    new = keyed("k", created_at=EPOCH + 10)
    assert (await store.enqueue([new])).ids == [new.id]
    assert await store.settle([settlement(held.lease)], EPOCH + 20) == {held.id}
    assert (await store.enqueue([keyed("k", created_at=EPOCH + 21)])).ids == [new.id]


async def test_the_end_of_an_older_job_does_not_free_the_key_of_the_newer(store: Any) -> None:
    old = await bring_to(store, State.RUNNING, keyed("k", until=EPOCH + 10))
    new = keyed("k", created_at=EPOCH + 11)
    await store.enqueue([new])
    await store.settle([settlement(old.lease, Event.RELEASE)], EPOCH + 12)
    await store.cancel([old.id], EPOCH + 13)
    assert (await store.enqueue([keyed("k", created_at=EPOCH + 14)])).ids == [new.id]


# ── unique keys: reject ───────────────────────────────────────────────────────────────────────


async def test_a_twin_that_is_refused_takes_its_whole_batch_with_it(store: Any) -> None:
    old = keyed("k")
    await store.enqueue([old])
    with pytest.raises(Conflict) as caught:
        await store.enqueue([new_job(), keyed("new"), keyed("k", on_conflict="reject")])
    assert not isinstance(caught.value, KeyReused)
    assert old.id in str(caught.value)
    assert await ids(store) == [old.id]


async def test_a_batch_with_its_own_twin_is_refused(store: Any) -> None:
    with pytest.raises(Conflict):
        await store.enqueue([keyed("k"), keyed("k", on_conflict="reject")])
    assert await ids(store) == []


async def test_where_nobody_holds_the_key_nothing_is_refused(store: Any) -> None:
    await bring_to(store, State.DONE, keyed("k"))
    for on_conflict in ("reject", "replace"):
        job = keyed(on_conflict, on_conflict=on_conflict)
        assert (await store.enqueue([job])).ids == [job.id]
    job = keyed("k", on_conflict="reject")
    assert (await store.enqueue([job])).ids == [job.id]


async def test_one_refused_does_not_sink_those_beside_it(store: Any) -> None:
    old, good, twin = keyed("k"), new_job(), keyed("k")
    await store.enqueue([old])
    answers: dict[str, Any] = {}

    async def client(job: NewJob) -> None:
        try:
            answers[job.id] = (await store.enqueue([job])).ids
        except Conflict as error:
            answers[job.id] = type(error)

    bad = keyed("k", on_conflict="reject")
    async with trio.open_nursery() as nursery:
        for job in (bad, good, twin):
            nursery.start_soon(client, job)
    assert answers == {bad.id: Conflict, good.id: [good.id], twin.id: [old.id]}


# ── unique keys: replace ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("delay", [0, 30])
@pytest.mark.parametrize("state", [State.QUEUED, State.SCHEDULED])
async def test_a_job_that_waits_gets_the_new_payload_run_at_and_priority(
    store: Any, state: State, delay: float
) -> None:
    old = await bring_to(store, state, keyed("k", tags=["old"], queue="q", timeout=1.0))
    before = await job_of(store, old.id)
    make = due_in if delay else lambda _, **changes: new_job(**{"run_at": EPOCH, **changes})
    new = make(
        delay,
        payload=b"\0new",
        content_type="a/b",
        params={"p": "new"},
        priority=7,
        tags=["new"],
        queue="other",
        timeout=9.0,
        unique_key="k",
        unique_until=UNTIL_FINISHED,
        on_conflict="replace",
    )
    assert await store.enqueue([new]) == Enqueued([old.id])
    job = await job_of(store, old.id)
    assert (job.payload_text, (job.payload_hex or "").lower()) == (None, "006e6577")
    assert (job.content_type, job.params) == ("a/b", {"p": "new"})
    assert (job.priority, job.run_at) == (7, EPOCH + delay)
    assert job.state is (State.SCHEDULED if delay else State.QUEUED)
    assert (job.queue, job.tags, job.timeout) == ("q", ["old"], 1.0)
    assert job.version == before.version + 1
    assert await ids(store) == [old.id]


@pytest.mark.parametrize("key_until", [UNTIL_FINISHED, EPOCH + DAY])
@pytest.mark.parametrize("state", [State.RUNNING, *ENDED])
async def test_a_job_that_has_begun_is_not_replaced_under_its_worker(
    store: Any, state: State, key_until: float
) -> None:
    old = await bring_to(store, state, keyed("k", until=key_until))
    before = await job_of(store, old.id)
    new = keyed("k", payload=b'"new"', on_conflict="replace")
    if state.final and key_until == UNTIL_FINISHED:
        assert (await store.enqueue([new])).ids == [new.id]
    else:
        with pytest.raises(Conflict):
            await store.enqueue([new_job(), new])
        assert await ids(store) == [old.id]
    assert await job_of(store, old.id) == before


async def test_of_several_that_replace_the_last_one_counts(store: Any) -> None:
    batch = [keyed("k", payload=b"%d" % n, on_conflict="replace", priority=n) for n in range(4)]
    assert (await store.enqueue(batch)).ids == [batch[0].id] * 4
    job = await job_of(store, batch[0].id)
    assert (job.payload_text, job.priority) == ("3", 3)
    assert len(await claim(store)) == 1


async def test_those_that_replace_at_the_same_moment_leave_one_job_that_is_whole(
    store: Any,
) -> None:
    async with trio.open_nursery() as nursery:
        for n in range(5):
            job = keyed("k", payload=b"%d" % n, on_conflict="replace", priority=n)
            nursery.start_soon(store.enqueue, [job])
    [one] = await ids(store)
    job = await job_of(store, one)
    assert job.payload_text == str(job.priority)


async def test_a_replaced_job_that_is_due_earlier_wakes_the_workers(store: Any) -> None:
    await store.enqueue([due_in(99, unique_key="k", unique_until=UNTIL_FINISHED)])
    await store.doorbell.wait(0)
    await store.enqueue([keyed("k", on_conflict="replace", payload=b'"now"')])
    assert await store.doorbell.wait(0)
    assert (await claim_one(store)).payload == b'"now"'


@on_sqlite
async def test_a_job_is_replaced_without_walking_all_others(backend: SqliteBackend) -> None:
    """The one writer would stand still for as long as there are jobs."""
    async with backend.open() as store:
        await store.enqueue([keyed("k"), *[new_job() for _ in range(20_000)]])
        steps = count_steps(store.file.writer)
        await store.enqueue([keyed("k", on_conflict="replace")])
        assert len(steps) < 50


# ── idempotency keys ──────────────────────────────────────────────────────────────────────────


async def test_a_request_that_is_sent_again_gets_the_same_job(store: Any) -> None:
    job = new_job()
    assert await store.enqueue([job], same()) == Enqueued([job.id], replayed=False)
    assert await store.enqueue([new_job()], same()) == Enqueued([job.id], replayed=True)
    assert await ids(store) == [job.id]


async def test_an_array_that_is_sent_again_gets_the_same_jobs(store: Any) -> None:
    jobs = [new_job() for _ in range(5)]
    await store.enqueue(jobs, key=same())
    again = await store.enqueue([new_job() for _ in range(5)], key=same())
    assert again == Enqueued([job.id for job in jobs], replayed=True)
    assert await ids(store) == [job.id for job in jobs]


async def test_the_same_jobs_can_be_sent_again_after_an_uncertain_answer(store: Any) -> None:
    jobs = [new_job(), new_job()]
    await store.enqueue(jobs, same())
    assert await store.enqueue(jobs, same()) == Enqueued([job.id for job in jobs], replayed=True)


async def test_an_empty_request_may_have_a_key(store: Any) -> None:
    assert await store.enqueue([], same()) == Enqueued([])


@pytest.mark.parametrize("state", WAYS)
async def test_a_replay_does_not_care_what_became_of_the_job(store: Any, state: State) -> None:
    job = new_job()
    await store.enqueue([job], same())
    held = await claim_one(store)
    if (event := WAYS[state]) is not None:
        await store.settle([settlement(held.lease, event)], EPOCH)
    assert await store.enqueue([new_job()], same()) == Enqueued([job.id], replayed=True)
    if state.final:
        await store.remove([job.id])
        assert await store.enqueue([new_job()], same()) == Enqueued([job.id], replayed=True)


async def test_a_key_that_came_with_something_else_is_not_answered_with_it(store: Any) -> None:
    job = new_job()
    await store.enqueue([job], same("one"))
    with pytest.raises(KeyReused):
        await store.enqueue([new_job()], same("two"))
    assert await ids(store) == [job.id]
    assert (await store.enqueue([new_job()], same("one"))).replayed


async def test_other_keys_are_other_requests(store: Any) -> None:
    keys = [same(key=key) for key in ("a", "A", "", "a ", "é")]
    for key in keys:
        assert not (await store.enqueue([new_job()], key)).replayed
    assert len(await ids(store)) == 5


async def test_a_key_is_forgotten_when_its_time_is_up(store: Any) -> None:
    until = EPOCH + DAY
    first, late, new = (new_job(created_at=EPOCH + at) for at in (0, DAY - 1, DAY))
    await store.enqueue([first], same("one", until=until))
    assert (await store.enqueue([late], same("one", until=until + DAY))).ids == [first.id]
    again = await store.enqueue([new], same("two", until=until + DAY))
    assert again == Enqueued([new.id], replayed=False)
    last = new_job(created_at=EPOCH + DAY + 1)
    assert (await store.enqueue([last], same("two"))).ids == [new.id]


async def test_a_request_that_failed_does_not_use_up_its_key(store: Any) -> None:
    await store.enqueue([keyed("k")])
    with pytest.raises(Conflict):
        await store.enqueue([keyed("k", on_conflict="reject")], same())
    job = new_job()
    assert await store.enqueue([job], same()) == Enqueued([job.id], replayed=False)


async def test_a_key_is_still_known_after_a_restart(backend: Backend) -> None:
    job = new_job()
    async with backend.open() as store:
        await store.enqueue([job], same())
    async with backend.open() as store:
        assert await store.enqueue([new_job()], same()) == Enqueued([job.id], replayed=True)


async def test_a_request_sent_twice_at_the_same_moment_makes_one_job(store: Any) -> None:
    answers: list[Enqueued] = []

    async def client() -> None:
        answers.append(await store.enqueue([new_job(), new_job()], same()))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(client)
            nursery.start_soon(store.enqueue, [new_job(queue="other")])
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 4
    assert len({tuple(answer.ids) for answer in answers}) == 1
    assert await store.counts() == {"default": {State.QUEUED: 2}, "other": {State.QUEUED: 5}}


async def test_a_reused_key_does_not_sink_those_beside_it(store: Any) -> None:
    good, first, second = new_job(), new_job(), new_job()
    answers: dict[str, Any] = {}

    async def client(job: NewJob, key: Key | None) -> None:
        try:
            answers[job.id] = (await store.enqueue([job], key)).ids
        except KeyReused:
            answers[job.id] = None

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client, first, same("one"))
        nursery.start_soon(client, second, same("two"))
        nursery.start_soon(client, good, None)
    assert answers[good.id] == [good.id]
    [winner] = [id_ for id_ in (first.id, second.id) if answers[id_]]
    assert set(await ids(store)) == {good.id, winner}


# ── both at once ──────────────────────────────────────────────────────────────────────────────


async def test_a_replay_tells_of_the_job_that_stood_for_ours(store: Any) -> None:
    old, plain = keyed("k"), new_job()
    await store.enqueue([old])
    first = await store.enqueue([keyed("k"), plain, keyed("k")], same())
    assert first == Enqueued([old.id, plain.id, old.id])
    again = await store.enqueue([keyed("k"), new_job(), keyed("k")], same())
    assert again == Enqueued([old.id, plain.id, old.id], replayed=True)


async def test_a_replay_replaces_nothing(store: Any) -> None:
    old = keyed("k")
    await store.enqueue([old])
    await store.enqueue([keyed("k", payload=b"1", on_conflict="replace")], same())
    await store.enqueue([keyed("k", payload=b"2", on_conflict="replace")])
    await store.enqueue([keyed("k", payload=b"1", on_conflict="replace")], same())
    assert (await job_of(store, old.id)).payload_text == "2"


async def test_a_replay_is_answered_even_where_the_unique_key_would_refuse_it(store: Any) -> None:
    job = keyed("k", on_conflict="reject")
    await store.enqueue([job], same())
    again = await store.enqueue([keyed("k", on_conflict="reject")], same())
    assert again == Enqueued([job.id], replayed=True)


async def test_a_replay_does_not_run_a_finished_job_again(store: Any) -> None:
    job = keyed("k")
    await store.enqueue([job], same())
    await store.settle([settlement((await claim_one(store)).lease)], EPOCH)
    assert (await store.enqueue([keyed("k")], same())).ids == [job.id]
    assert await claim(store) == []
    assert await state_of(store, job.id) is State.DONE


async def test_a_request_is_not_refused_for_what_another_one_with_its_key_asked(
    store: Any,
) -> None:
    """Alone, or a moment later, it is stored. Who is first in a batch is chance: many rounds."""
    await store.enqueue([keyed("k")])
    answers: dict[str, Any] = {}

    async def client(job: NewJob, key: Key) -> None:
        try:
            answers[job.id] = (await store.enqueue([job], key)).ids
        except Conflict as error:
            answers[job.id] = type(error)

    for n in range(20):
        bad, good = keyed("k", on_conflict="reject"), new_job()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client, bad, same("one", key=f"{n}"))
            nursery.start_soon(client, good, same("two", key=f"{n}"))
        assert answers[good.id] == [good.id]
        assert answers[bad.id] in (Conflict, KeyReused)
