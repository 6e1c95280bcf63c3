"""The verbs about one job: each does what it says, or says why not."""

import pytest
from trio.testing import MockClock

from trio_jobs.errors import (
    Conflict,
    InvalidInput,
    KeyReused,
    NotFound,
    Outdated,
    Unavailable,
    Uncertain,
)
from trio_jobs.job import State
from trio_jobs.service import Order
from trio_jobs.service.service import MAX_PAGE
from trio_jobs.storage.wishes import Amendment, Filter

from ..conftest import EPOCH, now
from .conftest import BROKEN, FAILED, StartQueue

NOBODY = "0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d"


# ── enqueue ───────────────────────────────────────────────────────────────────────────────────


async def test_a_request_that_comes_twice_makes_its_jobs_once(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    orders = [Order(type="any"), Order(type="loose")]
    first = await queue.service.enqueue(orders, key=("k", "print"))
    await queue.service.cancel(first[0].job.id)
    again = await queue.service.enqueue(orders, key=("k", "print"))
    assert [one.job.id for one in again] == [one.job.id for one in first]
    assert all(one.replayed and not one.deduplicated for one in again)
    assert again[0].job.state is State.CANCELLED, "as it is now"
    assert len((await queue.service.list_jobs()).jobs) == 2
    with pytest.raises(KeyReused):
        await queue.service.enqueue(orders, key=("k", "other"))


async def test_a_replay_of_a_job_that_is_gone_does_not_make_another(
    start_queue: StartQueue,
    autojump_clock: MockClock,
) -> None:
    queue = await start_queue()
    [first] = await queue.service.enqueue([Order(type="any")], key=("k", "print"))
    await queue.service.cancel(first.job.id)
    await queue.service.remove(first.job.id)
    with pytest.raises(Conflict, match=first.job.id):
        await queue.service.enqueue([Order(type="any")], key=("k", "print"))
    assert (await queue.service.list_jobs()).jobs == []


async def test_a_second_job_under_a_unique_key_is_the_first(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    order = Order(type="any", unique_key="k", payload=b'{"n":1}')
    [first] = await queue.service.enqueue([order])
    assert not first.deduplicated
    placed = await queue.service.enqueue([Order(type="any"), order])
    assert [one.deduplicated for one in placed] == [False, True]
    assert placed[1].job == await queue.service.get(first.job.id)
    await queue.end_all()
    [later] = await queue.service.enqueue([order])
    assert not later.deduplicated
    assert later.job.id != first.job.id


async def test_one_call_may_bring_a_unique_key_twice(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    order = Order(type="any", unique_key="k")
    one, two = await queue.service.enqueue([order, order])
    assert (one.job.id, one.deduplicated) == (two.job.id, False)
    assert two.deduplicated


async def test_a_job_that_waits_may_be_replaced_and_one_that_runs_not(
    start_queue: StartQueue,
    autojump_clock: MockClock,
) -> None:
    queue = await start_queue()
    first = await queue.enqueue(payload={"n": 1}, unique_key="k")
    newer = Order(type="any", unique_key="k", payload=b'{"n":2}', on_conflict="replace")
    [placed] = await queue.service.enqueue([newer])
    assert (placed.job.id, placed.job.payload_text) == (first, '{"n":2}')
    await queue.claim()
    with pytest.raises(Conflict):
        await queue.service.enqueue([newer])
    with pytest.raises(Conflict):
        await queue.enqueue(unique_key="k", on_conflict="reject")


async def test_what_was_stored_is_no_refusal_although_it_cannot_be_shown(
    start_queue: StartQueue,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = await start_queue()
    held = Order(type="any", unique_key="k")
    await queue.service.enqueue([held])

    async def busy(_ids: object) -> None:
        raise Unavailable("the database is busy")

    monkeypatch.setattr(queue.store, "get", busy)
    with pytest.raises(Uncertain):
        await queue.service.enqueue([held, Order(type="loose")])
    with pytest.raises(Unavailable) as nothing_new:
        await queue.service.enqueue([held])
    assert not isinstance(nothing_new.value, Uncertain)


async def test_a_service_that_stops_takes_no_jobs_but_still_cancels(
    start_queue: StartQueue,
    autojump_clock: MockClock,
) -> None:
    queue = await start_queue()
    id_ = await queue.enqueue()
    queue.service.drain()
    with pytest.raises(Unavailable):
        await queue.enqueue()
    assert [check.name for check in await queue.service.checks() if not check.ok] == ["serving"]
    assert (await queue.service.cancel(id_)).state is State.CANCELLED


# ── look ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_list_pages_through_all_jobs_newest_first(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    service = queue.service
    assert all(check.ok for check in await service.checks())
    done = await queue.enqueue("loose")
    await queue.end(done)
    later = [await queue.enqueue(delay=100.0) for _ in range(3)]

    page = await service.list_jobs(limit=2)
    assert [job.id for job in page.jobs] == [later[2], later[1]]
    page = await service.list_jobs(limit=2, before=page.next)
    assert [job.id for job in page.jobs] == [later[0], done]
    jobs = (await service.list_jobs(Filter(states=[State.DONE]))).jobs
    assert [job.id for job in jobs] == [done]
    assert len((await service.list_jobs(Filter(types=["any"]))).jobs) == 3
    for limit in (0, -1, MAX_PAGE + 1):
        with pytest.raises(InvalidInput):
            await service.list_jobs(limit=limit)


@pytest.mark.parametrize(
    "filter_",
    [
        Filter(input={'a"b': "1"}),
        Filter(input={"a..b": "1"}),
        Filter(input={"": "1"}),
        Filter(input={"a\0": "1"}),
        Filter(input={"\ud800": "1"}),
        Filter(created_after=float("nan")),
        Filter(created_before=float("inf")),
        Filter(types=["x"] * 101),
        Filter(tags=["x" * 1_001]),
        Filter(error="x" * 1_001),
    ],
)
async def test_a_filter_that_cannot_be_asked_is_refused_before_the_store_sees_it(
    start_queue: StartQueue, autojump_clock: MockClock, filter_: Filter
) -> None:
    queue = await start_queue()
    with pytest.raises(InvalidInput):
        await queue.service.list_jobs(filter_)
    with pytest.raises(InvalidInput):
        await queue.service.bulk("delete", filter=filter_)


async def test_attempts_and_logs_of_a_job_that_never_ran_are_empty_not_missing(
    start_queue: StartQueue,
    autojump_clock: MockClock,
) -> None:
    queue = await start_queue()
    id_ = await queue.enqueue()
    assert await queue.service.attempts(id_) == []
    assert await queue.service.logs(id_) == []
    await queue.end(id_, FAILED)
    [attempt] = await queue.service.attempts(id_)
    assert attempt.error is not None
    assert attempt.error.message == "it broke"
    for limit in (0, 1_001):
        with pytest.raises(InvalidInput):
            await queue.service.logs(id_, limit=limit)


async def test_nobody_is_not_found_whatever_is_asked(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    service = queue.service
    for asked in (
        service.get(NOBODY),
        service.wait(NOBODY, 10),
        service.cancel(NOBODY),
        service.retry(NOBODY),
        service.run_now(NOBODY),
        service.snooze(NOBODY, 5),
        service.amend(NOBODY, Amendment(NOBODY, priority=1)),
        service.remove(NOBODY),
        service.attempts(NOBODY),
        service.logs(NOBODY),
        service.why(NOBODY),
    ):
        with pytest.raises(NotFound):
            await asked


# ── steer ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_job_that_runs_is_asked_to_stop_and_may_be_asked_twice(
    start_queue: StartQueue,
    autojump_clock: MockClock,
) -> None:
    queue = await start_queue()
    waiting = await queue.enqueue()
    job = await queue.service.cancel(waiting)
    assert (job.state, job.reason) == (State.CANCELLED, "cancelled")
    with pytest.raises(Conflict, match="cancelled"):
        await queue.service.cancel(waiting)

    running = await queue.enqueue()
    await queue.claim()
    for _ in range(2):
        job = await queue.service.cancel(running)
        assert job.state is State.RUNNING
        assert job.cancel_requested_at == EPOCH


async def test_a_retry_starts_afresh_and_only_what_has_ended(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    id_ = await queue.enqueue()
    with pytest.raises(Conflict, match="queued"):
        await queue.service.retry(id_)
    assert (await queue.end(id_, BROKEN)).state is State.FAILED
    job = await queue.service.retry(id_)
    assert (job.state, job.attempt, job.result_text) == (State.QUEUED, 0, None)


async def test_a_retry_does_not_take_a_unique_key_from_another_job(
    start_queue: StartQueue,
    autojump_clock: MockClock,
) -> None:
    queue = await start_queue()
    id_ = await queue.enqueue(unique_key="k")
    await queue.end(id_, BROKEN)
    await queue.enqueue(unique_key="k")
    with pytest.raises(Conflict, match="unique key"):
        await queue.service.retry(id_)


async def test_run_now_ends_a_wait_and_keeps_the_place_of_what_is_due(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    due, later = await queue.enqueue(), await queue.enqueue(delay=100.0)
    autojump_clock.jump(10)
    job = await queue.service.run_now(later)
    assert (job.state, job.run_at) == (State.QUEUED, EPOCH + 10)
    job = await queue.service.run_now(due)
    assert (job.state, job.run_at) == (State.QUEUED, EPOCH)
    await queue.claim()
    with pytest.raises(Conflict, match="running"):
        await queue.service.run_now((await queue.service.get(due)).id)


async def test_snooze_postpones_from_now(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    id_ = await queue.enqueue()
    job = await queue.service.snooze(id_, 60)
    assert (job.state, job.run_at) == (State.SCHEDULED, now() + 60)
    for seconds in (-1, float("nan"), float("inf")):
        with pytest.raises(InvalidInput):
            await queue.service.snooze(id_, seconds)


async def test_amend_changes_what_is_named_and_nothing_else(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    id_ = await queue.enqueue(tags=["a"], priority=3)
    before = await queue.service.get(id_)
    job = await queue.service.amend(id_, Amendment("", queue="media", timeout=5.0))
    assert (job.queue, job.timeout, job.priority, job.tags) == ("media", 5.0, 3, ["a"])
    assert job.version > before.version
    job = await queue.service.amend(id_, Amendment("", tags=[], priority=-3))
    assert (job.tags, job.priority) == ([], -3)


async def test_whoever_amends_what_has_changed_meanwhile_is_told(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    id_ = await queue.enqueue()
    seen = await queue.service.get(id_)
    await queue.service.amend(id_, Amendment("", version=seen.version, priority=1))
    with pytest.raises(Outdated):
        await queue.service.amend(id_, Amendment("", version=seen.version, priority=2))
    await queue.claim()
    running = await queue.service.get(id_)
    with pytest.raises(Conflict, match="running") as caught:
        await queue.service.amend(id_, Amendment("", version=running.version, priority=2))
    assert not isinstance(caught.value, Outdated)
    assert (await queue.service.get(id_)).priority == 1


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        (Amendment("", priority=101), "/priority"),
        (Amendment("", queue="a b"), "/queue"),
        (Amendment("", tags=["a b"]), "/tags/0"),
        (Amendment("", timeout=0.0), "/timeout"),
        (Amendment("", run_at=float("nan")), "/run_at"),
    ],
)
async def test_an_amendment_is_checked_like_an_order(
    start_queue: StartQueue, autojump_clock: MockClock, changes: Amendment, pointer: str
) -> None:
    queue = await start_queue()
    id_ = await queue.enqueue()
    with pytest.raises(InvalidInput) as caught:
        await queue.service.amend(id_, changes)
    assert caught.value.pointer == pointer


async def test_only_a_finished_job_is_forgotten(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    id_ = await queue.enqueue()
    with pytest.raises(Conflict, match="queued"):
        await queue.service.remove(id_)
    await queue.end(id_)
    await queue.service.remove(id_)
    with pytest.raises(NotFound):
        await queue.service.get(id_)


async def test_a_paused_queue_gives_no_job_until_it_is_resumed(
    start_queue: StartQueue, autojump_clock: MockClock
) -> None:
    queue = await start_queue()
    await queue.enqueue(queue="media")
    info = await queue.service.pause("media")
    assert (info.name, info.paused_at, info.counts) == ("media", EPOCH, {State.QUEUED: 1})
    assert await queue.claim() == []
    assert (await queue.service.resume("media")).paused_at is None
    assert len(await queue.claim()) == 1
    assert [one.name for one in await queue.service.queues()] == ["media"]
    assert (await queue.service.queue("unheard-of")).counts == {}
    for asked in (
        queue.service.pause("a b"),
        queue.service.resume("a b"),
        queue.service.queue(""),
        queue.service.purge("a b"),
    ):
        with pytest.raises(InvalidInput):
            await asked
