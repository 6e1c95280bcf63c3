"""Queues: paused ones, how much of each a claim may take, and who is next."""

from typing import Any

import pytest

from trio_jobs.job import Event, State
from trio_jobs.storage.watching import QueueInfo
from trio_jobs.storage.wishes import Amendment

from ..conftest import EPOCH
from .conftest import Backend, SqliteBackend, on_sqlite
from .jobs import LEASE, claim, claim_one, count_steps, due_in, new_job, settlement

HOUR = 3_600.0


async def crashed_twice(store: Any, *jobs: Any) -> None:
    """Queues `jobs`; one more crash will quarantine each."""
    await store.enqueue(jobs)
    for time in (EPOCH - HOUR, EPOCH - HOUR / 2):
        types = sorted({job.type for job in jobs})
        assert len(await claim(store, 100, *types, now=time)) == len(jobs)
        await store.rescue(time + LEASE, 100)


# ── pause ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("others", [0, 1, 3])
async def test_nothing_of_a_paused_queue_is_claimed_until_it_resumes(
    store: Any, others: int
) -> None:
    held_back = new_job(queue="held", priority=9)
    rest = [new_job(queue=f"q{n}") for n in range(others)]
    await store.enqueue([held_back, *rest])
    await store.pause("held", EPOCH)
    assert [job.id for job in await claim(store)] == [job.id for job in rest]
    assert await claim(store, queues={"held": 5, "*": 5}) == []
    await store.resume("held")
    assert (await claim_one(store)).id == held_back.id


async def test_a_pause_holds_back_a_job_on_its_last_chance(store: Any) -> None:
    await crashed_twice(store, new_job(queue="held"))
    await store.enqueue([new_job(queue="free")])
    await store.pause("held", EPOCH)
    assert [job.queue for job in await claim(store)] == ["free"]
    await store.resume("held")
    assert [job.queue for job in await claim(store)] == ["held"]


async def test_what_comes_back_to_a_paused_queue_stays_there(store: Any) -> None:
    await store.enqueue([new_job(), new_job(), due_in(1)])
    released, _ = await claim(store, 2)
    await store.pause("default", EPOCH)
    await store.settle([settlement(released.lease, Event.RELEASE)], EPOCH)
    await store.rescue(EPOCH + LEASE, 9)
    await store.promote(EPOCH + LEASE, 9)
    assert await store.counts() == {"default": {State.QUEUED: 3}}
    assert await claim(store, now=EPOCH + 99) == []
    await store.resume("default")
    assert len(await claim(store, now=EPOCH + 99)) == 3


async def test_a_running_job_of_a_paused_queue_may_finish(store: Any) -> None:
    await store.enqueue([new_job()])
    held = await claim_one(store)
    await store.pause("default", EPOCH)
    assert await store.extend([held.lease], EPOCH + 99) == {held.id}
    assert await store.settle([settlement(held.lease)], EPOCH) == {held.id}


async def test_a_queue_can_be_paused_before_it_has_jobs(store: Any) -> None:
    await store.pause("new", EPOCH)
    await store.enqueue([new_job(queue="new")])
    assert await claim(store) == []


async def test_jobs_moved_into_a_paused_queue_wait_with_it(store: Any) -> None:
    jobs = [new_job(queue="a"), new_job(queue="b")]
    await store.enqueue(jobs)
    await store.pause("b", EPOCH)
    await store.amend([Amendment(jobs[0].id, queue="b"), Amendment(jobs[1].id, queue="a")], EPOCH)
    assert [job.id for job in await claim(store)] == [jobs[1].id]


async def test_a_pause_outlives_the_process_and_is_told_since_when(backend: Backend) -> None:
    async with backend.open() as store:
        await store.enqueue([new_job()])
        await store.pause("default", EPOCH + 0.25)
        await store.pause("default", EPOCH + 9)  # again: it has been paused all the time
    async with backend.open() as store:
        [queue] = await store.queues()
        assert queue.paused_at == EPOCH + 0.25
        assert await claim(store) == []
        await store.resume("default")
    async with backend.open() as store:
        assert (await store.queues())[0].paused_at is None
        assert len(await claim(store)) == 1


async def test_resuming_wakes_the_workers_and_may_be_said_twice(store: Any) -> None:
    await store.pause("a", EPOCH)
    await store.doorbell.wait(0)
    for queue in ("a", "a", "never paused"):
        await store.resume(queue)
        assert await store.doorbell.wait(0)
    assert await store.queues() == []


# ── limits ────────────────────────────────────────────────────────────────────────────────────


async def test_no_more_of_a_queue_run_than_its_limit_over_all_workers(store: Any) -> None:
    await store.enqueue([new_job(queue="a") for _ in range(5)])
    await store.limit("a", 2)
    held = await claim(store, 1, worker="remote-1") + await claim(store, 9, worker="remote-2")
    assert len(held) == 2
    assert all(job.is_limited for job in held)
    assert await claim(store) == []
    await store.settle([settlement(held[0].lease)], EPOCH)
    assert len(await claim(store)) == 1
    await store.limit("a", None)
    assert [job.is_limited for job in await claim(store)] == [False, False]


async def test_a_limit_leaves_the_places_to_other_queues(store: Any) -> None:
    """Of three urgent ones two may not run: those of the other queue are next, as before."""
    await store.enqueue([new_job(queue="a", priority=9) for _ in range(3)])
    await store.enqueue([new_job(queue="b") for _ in range(5)])
    await store.limit("a", 1)
    held = await claim(store, 4, queues={"*": 3})
    assert [job.queue for job in held] == ["a", "b", "b"]


async def test_a_limit_below_what_runs_stops_nobody(store: Any) -> None:
    await store.enqueue([new_job(queue="a") for _ in range(4)])
    held = await claim(store, 3)
    await store.limit("a", 1)
    assert await store.settle([settlement(job.lease) for job in held[:2]], EPOCH) == {
        job.id for job in held[:2]
    }
    assert await claim(store) == []
    await store.settle([settlement(held[2].lease)], EPOCH)
    assert len(await claim(store)) == 1


async def test_a_limit_and_a_pause_do_not_undo_each_other(store: Any) -> None:
    await store.limit("a", 3)
    await store.pause("a", EPOCH)
    await store.limit("a", 4)
    await store.pause("a", EPOCH + 9)
    assert await store.queues() == [QueueInfo("a", {}, EPOCH, None, 4)]
    await store.resume("a")
    assert await store.queues() == [QueueInfo("a", {}, None, None, 4)]
    await store.limit("a", None)
    assert await store.queues() == []


async def test_a_limit_that_was_raised_wakes_the_workers(store: Any) -> None:
    await store.doorbell.wait(0)
    await store.limit("a", 2)
    assert await store.doorbell.wait(0)


# ── queues ────────────────────────────────────────────────────────────────────────────────────


async def test_every_queue_is_listed_by_name_with_its_jobs(store: Any) -> None:
    assert await store.queues() == []
    await store.enqueue(
        [
            new_job(queue="b", run_at=EPOCH + 5, priority=9),
            new_job(queue="b", run_at=EPOCH + 3),
            new_job(queue="b", run_at=EPOCH + 4, priority=-1),
            due_in(1, queue="a"),
            new_job(queue="é", type="other"),
        ]
    )
    await claim(store, 1, "other")
    await store.pause("empty", EPOCH + 7)
    await store.pause("b", EPOCH + 8)
    assert await store.queues() == [
        QueueInfo("a", {State.SCHEDULED: 1}, None, None),
        QueueInfo("b", {State.QUEUED: 3}, EPOCH + 8, EPOCH + 3),
        QueueInfo("empty", {}, EPOCH + 7, None),
        QueueInfo("é", {State.RUNNING: 1}, None, None),
    ]


async def test_a_queue_whose_last_job_has_gone_is_not_listed(store: Any) -> None:
    await store.enqueue([new_job()])
    held = await claim_one(store)
    await store.settle([settlement(held.lease)], EPOCH)
    assert await store.queues() == [QueueInfo("default", {State.DONE: 1}, None, None)]
    await store.remove([held.id])
    assert await store.queues() == []


async def test_a_job_on_its_last_chance_is_due_as_any_other(store: Any) -> None:
    """An alarm on the age of the oldest job must not sleep because that job has crashed."""
    await crashed_twice(store, new_job(run_at=EPOCH - 50))
    assert (await store.queues())[0].oldest_due == EPOCH - 50
    await store.enqueue([new_job(run_at=EPOCH - 40)])
    assert (await store.queues())[0].oldest_due == EPOCH - 50


# ── how much of each ──────────────────────────────────────────────────────────────────────────


async def taken(store: Any, limit: int, queues: dict[str, int] | None) -> dict[str, int]:
    """How many of each queue a claim got."""
    got: dict[str, int] = {}
    for job in await claim(store, limit, queues=queues):
        got[job.queue] = got.get(job.queue, 0) + 1
    return got


LIMITS: list[tuple[int, dict[str, int] | None, dict[str, int]]] = [
    (99, None, {"a": 4, "b": 4, "c": 4}),
    (99, {"*": 99}, {"a": 4, "b": 4, "c": 4}),
    (99, {}, {}),
    (99, {"a": 2}, {"a": 2}),
    (99, {"a": 2, "b": 0}, {"a": 2}),
    (99, {"a": 2, "b": 3, "none": 5}, {"a": 2, "b": 3}),
    (99, {"a": 1, "*": 9}, {"a": 1, "b": 4, "c": 4}),
    (99, {"*": 6}, {"a": 2, "b": 2, "c": 2}),
    (99, {"a": 0, "*": 3}, {"b": 2, "c": 1}),
    (99, {"a": 3, "*": 0}, {"a": 3}),
    (4, {"a": 3, "*": 3}, {"a": 2, "b": 1, "c": 1}),
    (3, None, {"a": 1, "b": 1, "c": 1}),
    (0, {"a": 3}, {}),
]


@pytest.mark.parametrize(("limit", "queues", "wanted"), LIMITS)
async def test_a_claim_takes_no_more_of_a_queue_than_it_may(
    store: Any, limit: int, queues: dict[str, int] | None, wanted: dict[str, int]
) -> None:
    await store.enqueue([new_job(queue=queue) for _ in range(4) for queue in "abc"])
    assert await taken(store, limit, queues) == wanted


@pytest.mark.parametrize(
    ("queues", "n"), [({"a": 2}, 2), ({"*": 3}, 3), ({"a": 0, "*": 9}, 0), ({"b": 9}, 0), ({}, 0)]
)
async def test_a_lone_queue_has_its_limit_too(store: Any, queues: dict[str, int], n: int) -> None:
    await store.enqueue([new_job(queue="a") for _ in range(5)])
    assert len(await claim(store, 99, queues=queues)) == n


async def test_within_the_limits_the_most_urgent_go_first(store: Any) -> None:
    jobs = [new_job(queue=queue, priority=p) for queue in "abc" for p in (0, 2, 1)]
    await store.enqueue(jobs)
    got = await claim(store, 5, queues={"a": 1, "*": 9})
    assert [(job.queue, by_id(jobs, job.id).priority) for job in got] == [
        ("a", 2), ("b", 2), ("c", 2), ("b", 1), ("c", 1),
    ]  # fmt: skip


def by_id(jobs: list[Any], id_: str) -> Any:
    return next(job for job in jobs if job.id == id_)


async def test_a_full_queue_does_not_starve_the_others_of_the_star(store: Any) -> None:
    await store.enqueue([new_job(queue="full", priority=9) for _ in range(50)])
    await store.enqueue([new_job(queue=queue) for queue in "xyz"])
    assert await taken(store, 10, {"full": 2, "*": 2}) == {"full": 2, "x": 1, "y": 1}


async def test_types_and_limits_hold_together(store: Any) -> None:
    await store.enqueue([new_job(queue=q, type=t) for q in "ab" for t in "xyx" for _ in range(2)])
    got = await claim(store, 99, "x", queues={"a": 3, "*": 1})
    assert sorted(job.queue for job in got) == ["a", "a", "a", "b"]
    assert {job.type for job in got} == {"x"}


# ── … and the last chance ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("queues", "wanted"),
    [
        (None, {"a": 3, "b": 3}),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}),
        ({"a": 2, "b": 2}, {"a": 2, "b": 2}),
        ({"a": 1, "*": 1}, {"a": 1, "b": 1}),
        ({"b": 1, "*": 1}, {"a": 1, "b": 1}),
        ({"*": 2}, {"a": 2}),
        ({"a": 0, "b": 1}, {"b": 1}),
        ({"b": 1}, {"b": 1}),
    ],
)
async def test_a_job_on_its_last_chance_takes_a_place_of_its_queue_and_of_no_other(
    store: Any, queues: dict[str, int] | None, wanted: dict[str, int]
) -> None:
    await crashed_twice(store, new_job(queue="a", priority=1))
    await store.enqueue([new_job(queue="a") for _ in range(2)])
    await store.enqueue([new_job(queue="b", run_at=EPOCH + 1) for _ in range(3)])
    got = await claim(store, 99, queues=queues)
    assert {q: sum(job.queue == q for job in got) for q in wanted} == wanted
    assert len(got) == sum(wanted.values())
    assert sum(job.on_last_chance for job in got) == ("a" in wanted)


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_the_limits_of_a_lone_queue_hold_with_a_last_chance(store: Any, limit: int) -> None:
    await crashed_twice(store, *[new_job() for _ in range(3)])
    await store.enqueue([new_job() for _ in range(5)])
    got = await claim(store, 99, queues={"default": limit})
    assert len(got) == limit
    assert sum(job.on_last_chance for job in got) == 1


async def test_who_runs_a_suspect_gets_no_other(store: Any) -> None:
    await crashed_twice(store, new_job(queue="a"), new_job(queue="b"))
    await store.enqueue([new_job(queue="c")])
    got = await claim(store, 99, last_chance=False, queues={"*": 9})
    assert [job.queue for job in got] == ["c"]
    assert len(await claim(store, 99, queues={"*": 9})) == 1


# ── ahead ─────────────────────────────────────────────────────────────────────────────────────


async def test_ahead_says_how_many_are_claimed_before(store: Any) -> None:
    shapes = [(p, r) for p in (1, 0, 5) for r in (2.0, 0.0, 0.0)]
    jobs = [new_job(priority=p, run_at=EPOCH + r) for p, r in shapes]
    await store.enqueue([*jobs, new_job(queue="other", priority=9), due_in(1, priority=9)])
    ahead = [await store.ahead(job.id, 99) for job in jobs]
    order = [job.id for job in await claim(store, 99, queues={"default": 99})]
    assert ahead == [order.index(job.id) for job in jobs]


async def test_ahead_counts_no_more_than_asked_for(store: Any) -> None:
    jobs = [new_job() for _ in range(10)]
    await store.enqueue(jobs)
    assert [await store.ahead(jobs[9].id, limit) for limit in (0, 1, 5, 9, 99)] == [0, 1, 5, 9, 9]
    assert await store.ahead(jobs[0].id, 99) == 0
    assert await store.ahead("none", 99) == 0


async def test_ahead_counts_neither_what_runs_nor_what_has_ended(store: Any) -> None:
    jobs = [new_job() for _ in range(4)]
    await store.enqueue(jobs)
    [done, _] = await claim(store, 2)
    await store.settle([settlement(done.lease)], EPOCH)
    assert await store.ahead(jobs[3].id, 99) == 1


async def test_ahead_counts_a_job_on_its_last_chance_too(store: Any) -> None:
    suspect, job = new_job(), new_job()
    await crashed_twice(store, suspect)
    await store.enqueue([job])
    assert [await store.ahead(id_, 99) for id_ in (suspect.id, job.id)] == [0, 1]


@on_sqlite
async def test_ahead_is_found_without_looking_at_all_jobs(backend: SqliteBackend) -> None:
    """Neither at those of other queues, nor at those behind it."""
    async with backend.open() as store:
        job = new_job(queue="few")
        behind = [
            new_job(queue=queue, run_at=EPOCH + 1)
            for queue in ("few", "many")
            for _ in range(9_999)
        ]
        await store.enqueue([job, *behind])
        steps = count_steps(store.file._reader)
        assert await store.ahead(job.id, 10_000) == 0
        assert len(steps) < 20
