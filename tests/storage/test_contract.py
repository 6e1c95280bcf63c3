"""What every store promises (storage/base.py), word by word."""

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from trio_jobs.job import CRASHES_ALLOWED, TRANSITIONS, Event, Reason, State, Verdict
from trio_jobs.job import Error as Wrong
from trio_jobs.storage.records import Claimed, Enqueued, Error, Job, Lease, Settlement
from trio_jobs.storage.wishes import Filter

from ..conftest import EPOCH
from .conftest import Backend, on_sqlite
from .jobs import (
    BOOM,
    LEASE,
    VERDICTS,
    WAYS,
    all_jobs,
    bring_to,
    claim,
    claim_one,
    due_in,
    job_of,
    new_job,
    settlement,
    state_of,
    with_result,
)

# ── enqueue ───────────────────────────────────────────────────────────────────────────────────


async def test_a_job_is_kept_as_it_came(store: Any) -> None:
    job = new_job(
        b'{"a": [1, 2.5, null]}',
        queue="mail",
        priority=-7,
        timeout=1.5,
        max_attempts=3,
        tags=["a", "b:c"],
        created_at=EPOCH + 0.123456,
        run_at=EPOCH + 0.25,
        params={"name": "é\0\n😀"},
        deadline=EPOCH + 1e6 + 1 / 3,
        backoff={"base": 2.5, "jitter": [True, None]},
        unique_key="é",
        unique_until=EPOCH + 9,
    )
    assert await store.enqueue([job]) == Enqueued([job.id], replayed=False)
    assert await store.get([job.id]) == {job.id: Job.fresh(job)}


async def test_a_batch_with_one_bad_job_leaves_none_of_it_behind(store: Any) -> None:
    twin = new_job()
    with pytest.raises(Exception, match=r"(?i)unique"):
        await store.enqueue([new_job(), twin, new_job(), twin])
    assert await store.counts() == {}
    assert await claim(store) == []


async def test_an_id_that_exists_already_does_not_change_the_job_that_has_it(store: Any) -> None:
    job = new_job(b'"first"')
    await store.enqueue([job])
    with pytest.raises(Exception, match=r"(?i)unique"):
        await store.enqueue([new_job(b'"second"', id=job.id)])
    assert (await job_of(store, job.id)).payload_text == '"first"'


async def test_one_bad_batch_does_not_sink_the_one_beside_it(store: Any) -> None:
    twin, good = new_job(), new_job()
    errors: list[Exception] = []

    async def bad() -> None:
        try:
            await store.enqueue([twin, twin])
        except Exception as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bad)
        nursery.start_soon(store.enqueue, [good])
        nursery.start_soon(store.check_writable)
    assert len(errors) == 1
    assert await store.get([twin.id, good.id]) == {good.id: Job.fresh(good)}


async def test_nothing_may_be_enqueued(store: Any) -> None:
    assert await store.enqueue([]) == Enqueued([], replayed=False)
    assert await store.counts() == {}


async def test_five_thousand_jobs_go_in_and_out_in_one_go(store: Any) -> None:
    jobs = [new_job(b"%d" % n) for n in range(5_000)]
    await store.enqueue(jobs)
    claimed = await claim(store, 10_000)
    assert [job.payload for job in claimed] == [b"%d" % n for n in range(5_000)]
    assert len({job.lease_token for job in claimed}) == 5_000
    accepted = await store.settle([settlement(job.lease) for job in claimed], EPOCH)
    assert accepted == {job.id for job in jobs}
    assert await store.counts() == {"default": {State.DONE: 5_000}}
    assert len(await store.get([job.id for job in jobs])) == 5_000


# ── claim ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_claim_charges_an_attempt_and_names_the_holder(
    store: Any, backend: Backend
) -> None:
    job = new_job(timeout=2.5, params={"a": "b"})
    await store.enqueue([job])
    [held] = await claim(store, worker="me", now=EPOCH + 5)
    assert held == Claimed(
        id=job.id,
        type="noop",
        queue="default",
        attempt=1,
        max_attempts=5,
        crashes=0,
        timeout=2.5,
        lease_token=held.lease_token,
        started_at=EPOCH + 5,
        payload_text="{}",
        payload_hex=None,
        content_type="application/json",
        params={"a": "b"},
        run_at=job.run_at,
    )
    now = await job_of(store, job.id)
    assert (now.state, now.attempt, now.started_at) == (State.RUNNING, 1, EPOCH + 5)
    assert backend.rows("worker, lease_expires_at") == [("me", EPOCH + 5 + LEASE)]


async def test_no_job_is_claimed_twice(store: Any) -> None:
    await store.enqueue([new_job() for _ in range(20)])
    batches: list[list[Claimed]] = []

    async def worker() -> None:
        batches.append(await claim(store, 7))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(worker)
    ids = [job.id for batch in batches for job in batch]
    assert len(ids) == len(set(ids)) == 20
    assert sorted(map(len, batches)) == [0, 0, 6, 7, 7]


async def test_priority_goes_before_run_at_before_age_across_all_queues(store: Any) -> None:
    shapes = itertools.product((-1, 0, 9), (3.0, 0.0, -3.0), ("b", "a", "c"))
    jobs = [new_job(priority=p, run_at=EPOCH + r, queue=q) for p, r, q in shapes]
    order = {job.id: n for n, job in enumerate(jobs)}
    wanted = sorted(jobs, key=lambda job: (-job.priority, job.run_at, order[job.id]))
    await store.enqueue(jobs)
    got: list[str] = []
    for limit in (1, 2, 5, 100):
        got += [job.id for job in await claim(store, limit)]
    assert got == [job.id for job in wanted]


@pytest.mark.parametrize("limit", [0, -1])
@pytest.mark.parametrize("queues", [("a",), ("a", "b")])
async def test_whoever_wants_no_jobs_gets_none(
    store: Any, limit: int, queues: tuple[str, ...]
) -> None:
    await store.enqueue([new_job(queue=queue) for queue in queues])
    assert await claim(store, limit) == []


async def test_a_full_queue_does_not_hide_the_urgent_job_of_another(store: Any) -> None:
    await store.enqueue([new_job(queue="bulk") for _ in range(50)])
    urgent = new_job(queue="few", priority=1)
    await store.enqueue([urgent])
    assert (await claim_one(store)).id == urgent.id


async def test_a_worker_gets_only_the_types_it_knows(store: Any) -> None:
    first, second = new_job(type="a"), new_job(type="b")
    await store.enqueue([new_job(type="other") for _ in range(9)] + [first, second])
    assert await claim(store, 10, "none") == []
    assert [job.id for job in await claim(store, 10, "b", "a")] == [first.id, second.id]
    assert await store.claim("w", [], 10, EPOCH, EPOCH + 1) == []


async def test_a_claim_for_nothing_takes_nothing(store: Any) -> None:
    await store.enqueue([new_job()])
    assert await claim(store, 0) == []


async def test_a_job_that_is_not_due_cannot_be_claimed(store: Any) -> None:
    await store.enqueue([due_in(10)])
    assert await claim(store, now=EPOCH + 11) == []


async def test_a_job_posted_just_before_the_claim_is_there_for_it(store: Any) -> None:
    got: list[Claimed] = []

    async def worker() -> None:
        got.extend(await claim(store))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker)
        nursery.start_soon(store.enqueue, [new_job()])
    assert len(got) == 1


# ── settle ────────────────────────────────────────────────────────────────────────────────────

ROWS = {
    # event: state, reason, charged attempts, run_at - EPOCH, finished_at - EPOCH
    Event.SUCCEED: (State.DONE, None, 1, 0, 5),
    Event.FAIL: (State.FAILED, "permanent", 1, 0, 5),
    Event.RETRY_LATER: (State.SCHEDULED, "retry", 1, 21, None),
    Event.SNOOZE: (State.SCHEDULED, "snoozed", 0, 65, None),
    Event.RELEASE: (State.QUEUED, "shutdown", 0, 0, None),
    Event.CANCEL: (State.CANCELLED, "cancelled", 1, 0, 5),
}


def test_every_way_out_of_running_that_a_worker_has_is_tried_here() -> None:
    assert set(VERDICTS) == set(TRANSITIONS[State.RUNNING]) - {Event.RESCUE, Event.QUARANTINE}
    assert set(ROWS) == set(VERDICTS)


@pytest.mark.parametrize("event", VERDICTS)
async def test_a_verdict_is_written_into_the_job(
    store: Any, backend: Backend, event: Event
) -> None:
    job = new_job()
    await store.enqueue([job])
    held = await claim_one(store)
    assert await store.settle([settlement(held.lease, event, EPOCH + 5)], EPOCH + 5) == {job.id}
    now = await job_of(store, job.id)
    state, reason, attempt, run_at, finished_at = ROWS[event]
    assert now.state is state is TRANSITIONS[State.RUNNING][event]
    assert (now.reason, now.attempt, now.run_at) == (reason, attempt, EPOCH + run_at)
    assert now.finished_at == (None if finished_at is None else EPOCH + finished_at)
    assert (now.version, now.updated_at) == (3, EPOCH + 5)
    assert now.result_text == ('"result"' if event is Event.SUCCEED else None)
    failed = event in (Event.FAIL, Event.RETRY_LATER)
    assert now.error == (error_of(BOOM) if failed else None)
    assert backend.rows("lease_token, lease_expires_at") == [(None, None)]


def error_of(error: Wrong) -> Error:
    return Error(error.type, error.message, error.traceback)


@pytest.mark.parametrize("event", VERDICTS)
async def test_a_guessed_or_stale_token_can_neither_complete_nor_extend(
    store: Any, event: Event
) -> None:
    await store.enqueue([new_job()])
    held = await claim_one(store)
    before = await job_of(store, held.id)
    for token in (held.lease_token ^ 1, 0, -1):
        fake = Lease(held.id, token)
        assert await store.settle([settlement(fake, event)], EPOCH) == set()
        assert await store.extend([fake], EPOCH + 999) == set()
    assert await job_of(store, held.id) == before


@pytest.mark.parametrize(("first", "second"), list(itertools.product(VERDICTS, VERDICTS)))
async def test_the_second_verdict_on_an_attempt_changes_nothing(
    store: Any, first: Event, second: Event
) -> None:
    await store.enqueue([new_job()])
    held = await claim_one(store)
    await store.settle([settlement(held.lease, first)], EPOCH)
    before = await job_of(store, held.id)
    assert await store.settle([settlement(held.lease, second)], EPOCH + 1) == set()
    assert await store.extend([held.lease], EPOCH + 99) == set()
    assert await job_of(store, held.id) == before


async def test_a_late_worker_cannot_finish_a_job_it_lost(store: Any) -> None:
    await store.enqueue([new_job()])
    lost = await claim_one(store)
    await store.rescue(EPOCH + LEASE, 10)
    assert await store.settle([settlement(lost.lease)], EPOCH + 31) == set()
    held = await claim_one(store, now=EPOCH + 32)
    assert held.id == lost.id
    assert held.lease_token != lost.lease_token
    assert await store.settle([settlement(lost.lease)], EPOCH + 33) == set()
    assert await store.extend([lost.lease], EPOCH + 99) == set()
    assert await state_of(store, held.id) is State.RUNNING
    assert await store.settle([settlement(held.lease)], EPOCH + 34) == {held.id}


async def test_of_two_verdicts_at_the_same_time_only_the_accepted_one_is_told_so(
    store: Any,
) -> None:
    """The stale one may share the transaction of the right one, but not its answer."""
    await store.enqueue([new_job()])
    lost = await claim_one(store)
    await store.rescue(EPOCH + LEASE, 10)
    held = await claim_one(store, now=EPOCH + 32)
    answers: dict[str, set[str]] = {}

    async def settle(name: str, lease: Lease, result: bytes) -> None:
        done = with_result(held, result)
        own = Settlement(
            lease.id, lease.token, *(getattr(done, f) for f in done.__struct_fields__[2:])
        )
        answers[name] = await store.settle([own], EPOCH + 33)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(settle, "stale", lost.lease, b'"stale"')
        nursery.start_soon(settle, "right", held.lease, b'"right"')
        nursery.start_soon(settle, "late", lost.lease, b'"late"')
    assert answers == {"stale": set(), "right": {held.id}, "late": set()}
    assert (await job_of(store, held.id)).result_text == '"right"'


async def test_of_two_verdicts_under_one_lease_one_is_accepted(store: Any) -> None:
    await store.enqueue([new_job()])
    held = await claim_one(store)
    accepted: dict[str, set[str]] = {}

    async def settle(result: str) -> None:
        accepted[result] = await store.settle([with_result(held, result.encode())], EPOCH)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(settle, "1")
        nursery.start_soon(settle, "2")
    [winner] = [result for result, ids in accepted.items() if ids]
    assert (await job_of(store, held.id)).result_text == winner


async def test_verdicts_on_many_jobs_are_told_apart(store: Any) -> None:
    await store.enqueue([new_job() for _ in range(6)])
    jobs = await claim(store)
    batch = [settlement(job.lease, event) for job, event in zip(jobs, VERDICTS, strict=True)]
    batch += [settlement(Lease("no-such-job", 1)), settlement(Lease(jobs[0].id, 1))]
    assert await store.settle(batch, EPOCH) == {job.id for job in jobs}
    for job, event in zip(jobs, VERDICTS, strict=True):
        assert await state_of(store, job.id) is TRANSITIONS[State.RUNNING][event]


async def test_the_error_of_the_last_failed_attempt_is_the_one_that_is_shown(store: Any) -> None:
    job = new_job(max_attempts=3)
    await store.enqueue([job])
    for attempt in (1, 2):
        held = await claim_one(store)
        error = Wrong("Error", f"attempt {attempt}")
        verdict = Verdict.retry_at(EPOCH, error, Reason.RETRY)
        await store.settle([Settlement.of(held.lease, verdict)], EPOCH)
        await store.promote(EPOCH, 10)
    shown = (await job_of(store, job.id)).error
    assert shown is not None
    assert shown.message == "attempt 2"
    await store.settle([settlement((await claim_one(store)).lease)], EPOCH + 1)
    assert (await job_of(store, job.id)).state is State.DONE


# ── bodies ────────────────────────────────────────────────────────────────────────────────────

BODIES = {
    "null": b"null",
    "empty text": b'""',
    "spaces": b' { "a" :\n 1 } ',
    "numbers": b'[1e400, 12345678901234567890123, 0.1000, -0, "1"]',
    "unicode": '{"é": "😀\u2028", "ﷺ": "\U0010ffff"}'.encode(),
    "escapes": rb'"\u0000\ud83d\ude00\"\\\/\n"',
    "lone surrogate": rb'"\ud800"',
    "del": b'"\x7f"',
    "twice": b'{"a": 1, "a": 2}',
    "looks like sql": b'"\'; drop table jobs; --"',
    "a megabyte": b'"' + "é".encode() * 500_000 + b'"',
    "deep": b"[" * 5_000 + b"]" * 5_000,
}
RAW = {
    "empty": b"",
    "nul": b"\0",
    "all bytes": bytes(range(256)),
    "not utf-8": b"\xff\xfe\xed\xa0\x80",
    "looks like json": b"{}",
    "a megabyte": bytes(range(256)) * 4_096,
}


@pytest.mark.parametrize("name", BODIES)
async def test_json_comes_back_to_the_byte(store: Any, name: str) -> None:
    body = BODIES[name]
    job = new_job(body)
    await store.enqueue([job])
    held = await claim_one(store)
    assert held.payload == body
    await store.settle([with_result(held, body)], EPOCH)
    kept = await job_of(store, job.id)
    assert kept.payload_text == kept.result_text == body.decode()
    assert kept.payload_hex is kept.result_hex is None
    assert kept.result_content_type == "application/json"


@pytest.mark.parametrize("name", RAW)
async def test_raw_bytes_come_back_to_the_byte(store: Any, name: str) -> None:
    body, content_type = RAW[name], "application/octet-stream"
    job = new_job(body, content_type)
    await store.enqueue([job])
    held = await claim_one(store)
    assert (held.payload, held.content_type) == (body, content_type)
    await store.settle([with_result(held, body, content_type)], EPOCH)
    kept = await job_of(store, job.id)
    assert kept.payload_text is kept.result_text is None
    assert bytes.fromhex(kept.payload_hex or "") == bytes.fromhex(kept.result_hex or "") == body
    assert kept.result_hex is not None
    assert kept.result_content_type == content_type


async def test_no_result_is_told_from_an_empty_one(store: Any) -> None:
    await store.enqueue([new_job()])
    held = await claim_one(store)
    verdict = Verdict(Event.SUCCEED)
    await store.settle([Settlement.of(held.lease, verdict)], EPOCH)
    kept = await job_of(store, held.id)
    assert kept.result_text is kept.result_hex is kept.result_content_type is None


@pytest.mark.parametrize(
    "text", ["", "\0 nul \0", "é😀\u2028\x7f\x1b[31m", "x" * 64_000, "12", "null"]
)
async def test_whatever_an_error_says_is_kept(store: Any, text: str) -> None:
    await store.enqueue([new_job()])
    held = await claim_one(store)
    verdict = Verdict.failed(Wrong(text, text, text), None)
    await store.settle([Settlement.of(held.lease, verdict)], EPOCH)
    assert (await job_of(store, held.id)).error == error_of(Wrong(text, text, text))
    [listed] = await all_jobs(store)
    assert listed.error == error_of(Wrong(text, text, text))


# ── extend, rescue ────────────────────────────────────────────────────────────────────────────


async def test_an_extended_lease_is_not_rescued_before_its_new_end(store: Any) -> None:
    await store.enqueue([new_job(), new_job()])
    kept, dropped = await claim(store)
    assert await store.extend([kept.lease], EPOCH + 50) == {kept.id}
    assert await store.rescue(EPOCH + LEASE - 0.001, 10) == (0, 0)
    assert await store.rescue(EPOCH + LEASE, 10) == (1, 0)
    assert await state_of(store, kept.id) is State.RUNNING
    assert await state_of(store, dropped.id) is State.QUEUED
    assert await store.extend([kept.lease, dropped.lease], EPOCH + 60) == {kept.id}
    assert await store.rescue(EPOCH + 60, 10) == (1, 0)


async def test_the_heartbeats_own_connection_keeps_the_same_fence(store: Any) -> None:
    await store.enqueue([new_job(), new_job()])
    kept, dropped = await claim(store)
    pulse = store.pulse()
    try:
        await store.settle([settlement(dropped.lease)], EPOCH)
        leases = [kept.lease, dropped.lease, Lease(kept.id, 5), Lease("none", 1)]
        assert pulse.extend(leases, EPOCH + 99) == {kept.id}
    finally:
        pulse.close()
    assert await store.rescue(EPOCH + 98, 10) == (0, 0)


async def test_a_rescue_gives_the_attempt_back_and_counts_a_crash(
    store: Any, backend: Backend
) -> None:
    await store.enqueue([new_job()])
    held = await claim_one(store)
    await store.rescue(EPOCH + LEASE, 10)
    job = await job_of(store, held.id)
    assert (job.state, job.reason, job.attempt) == (State.QUEUED, "lease_lost", 0)
    assert backend.rows("crashes, lease_token") == [(1, None)]


async def test_a_job_that_kills_its_worker_again_and_again_is_quarantined(
    store: Any, backend: Backend
) -> None:
    job, bystander = new_job(), new_job(type="other")
    await store.enqueue([job, bystander])
    time = EPOCH
    for crash in range(1, CRASHES_ALLOWED + 1):
        await claim_one(store, now=time)
        time += LEASE
        rescued = await store.rescue(time, 10)
        assert rescued == ((0, 1) if crash == CRASHES_ALLOWED else (1, 0))
    poisoned = await job_of(store, job.id)
    assert (poisoned.state, poisoned.reason) == (State.FAILED, "poison")
    assert poisoned.finished_at == time
    assert await claim(store, now=time) == []
    assert await state_of(store, bystander.id) is State.QUEUED


async def test_jobs_on_their_last_chance_run_one_at_a_time(store: Any) -> None:
    """Three jobs ran beside each other in two crashes; the third must tell which one it is."""
    suspects = [new_job(priority=priority) for priority in (0, 2, 1)]
    await store.enqueue(suspects)
    for time in (EPOCH, EPOCH + 100):
        assert len(await claim(store, now=time)) == 3
        await store.rescue(time + LEASE, 10)
    fresh = [new_job(), new_job(priority=5)]
    await store.enqueue(fresh)
    jobs = await claim(store)
    assert [job.id for job in jobs] == [fresh[1].id, suspects[1].id, fresh[0].id]
    assert [job.on_last_chance for job in jobs] == [False, True, False]
    assert await store.claim("w", ["noop"], 10, EPOCH, EPOCH + 9, False) == []
    assert await claim(store, 10, "other") == []
    assert (await claim_one(store)).id == suspects[2].id


@on_sqlite
async def test_what_a_dead_process_of_this_machine_held_is_free_at_once(store: Any) -> None:
    await store.enqueue([new_job() for _ in range(3)])
    dead = await claim_one(store, worker="process-0123456789abcdef")
    alive = await claim_one(store, worker=store.identity)
    remote = await claim_one(store, worker="somewhere else")
    assert await store.rescue(EPOCH + 1, 10) == (1, 0)
    states = [await state_of(store, job.id) for job in (dead, alive, remote)]
    assert states == [State.QUEUED, State.RUNNING, State.RUNNING]


@on_sqlite
async def test_a_restart_frees_what_the_last_process_held(backend: Backend) -> None:
    async with backend.open() as store:
        await store.enqueue([new_job()])
        held = await claim_one(store, worker=store.identity)
    async with backend.open() as store:
        assert await store.rescue(EPOCH, 10) == (1, 0)
        assert await store.settle([settlement(held.lease)], EPOCH) == set()
        assert (await claim_one(store)).id == held.id


async def test_a_rescue_takes_no_more_than_it_was_told(store: Any) -> None:
    await store.enqueue([new_job() for _ in range(5)])
    await claim(store)
    assert [await store.rescue(EPOCH + 99, 2) for _ in range(4)] == [(2, 0), (2, 0), (1, 0), (0, 0)]


# ── promote ───────────────────────────────────────────────────────────────────────────────────


async def test_due_jobs_are_promoted_in_slices_and_the_next_is_announced(store: Any) -> None:
    assert await store.promote(EPOCH, 10) == (0, None)
    await store.enqueue([due_in(seconds) for seconds in (5, 3, 1, 4, 2)])
    assert await store.promote(EPOCH, 10) == (0, EPOCH + 1)
    assert await store.promote(EPOCH + 4, 3) == (3, EPOCH + 4)
    assert await store.promote(EPOCH + 4, 3) == (1, EPOCH + 5)
    assert await store.promote(EPOCH + 4, 3) == (0, EPOCH + 5)
    assert await store.promote(EPOCH + 5, 3) == (1, None)
    assert len(await claim(store)) == 5


async def test_a_promoted_job_keeps_its_error_but_not_its_reason(store: Any) -> None:
    await store.enqueue([new_job()])
    held = await claim_one(store)
    await store.settle([settlement(held.lease, Event.RETRY_LATER)], EPOCH)
    await store.promote(EPOCH + 16, 10)
    job = await job_of(store, held.id)
    assert (job.state, job.reason, job.attempt) == (State.QUEUED, None, 1)
    assert job.error == error_of(BOOM)


async def test_the_doorbell_rings_when_a_job_may_have_become_due(store: Any) -> None:
    await store.enqueue([due_in(1)])
    assert await store.doorbell.wait(0)
    assert not await store.doorbell.wait(0)
    await store.promote(EPOCH + 1, 10)
    assert await store.doorbell.wait(0)
    await claim(store)
    await store.rescue(EPOCH + 99, 10)
    assert await store.doorbell.wait(0)


# ── states and verbs ────────────────────────────────────────────────────────────────────────────

Move = Callable[[Any, Claimed], Awaitable[object]]


MOVES: dict[str, tuple[Event, Move]] = {
    "claim": (Event.CLAIM, lambda store, _: claim(store)),
    "promote": (Event.PROMOTE, lambda store, _: store.promote(EPOCH + 99, 10)),
    "rescue": (Event.RESCUE, lambda store, _: store.rescue(EPOCH + 99, 10)),
    **{
        event.value: (
            event,
            lambda store, held, e=event: store.settle([settlement(held.lease, e)], EPOCH),
        )
        for event in VERDICTS
    },
}


@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize("verb", MOVES)
async def test_a_verb_moves_exactly_the_jobs_that_the_table_lets_it_move(
    store: Any, state: State, verb: str
) -> None:
    held = await bring_to(store, state)
    before = await job_of(store, held.id)
    assert before.state is state
    event, move = MOVES[verb]
    await move(store, held)
    after = await job_of(store, held.id)
    if event in (Event.CANCEL, Event.RETRY) and state is not State.RUNNING:
        assert after == before  # a worker may only end what it holds
    else:
        assert after.state is TRANSITIONS[state].get(event, state)
    if after.state is state:
        assert after == before
    else:
        assert after.version == before.version + 1


# ── looking ───────────────────────────────────────────────────────────────────────────────────


async def test_unknown_ids_are_left_out(store: Any) -> None:
    job = new_job()
    await store.enqueue([job])
    found = await store.get(["", job.id, "none", "\0", "'", job.id.upper(), job.id])
    assert list(found) == [job.id]
    assert await store.get([]) == {}


async def test_one_impossible_id_does_not_spoil_the_answers_of_others(store: Any) -> None:
    job = new_job()
    await store.enqueue([job])
    found: list[object] = []

    async def bad() -> None:
        try:
            await store.get(["\ud800"])
        except Exception as error:
            found.append(error)

    async def good() -> None:
        found.append(await store.get([job.id]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bad)
        nursery.start_soon(good)
    assert {job.id: Job.fresh(job)} in found


async def test_pages_go_from_new_to_old_and_stay_put_while_new_jobs_arrive(store: Any) -> None:
    jobs = [new_job() for _ in range(10)]
    await store.enqueue(jobs)
    seen: list[str] = []
    before: int | None = None
    for size in (4, 4, 2, 0):
        page = await store.list_jobs(Filter(), before=before, limit=4)
        assert len(page.jobs) == size
        seen += [job.id for job in page.jobs]
        before = page.next
        await store.enqueue([new_job()])
        if before is None:
            break
    assert seen == [job.id for job in reversed(jobs)]
    assert before is None


async def test_a_list_has_only_what_was_asked_for_and_no_bodies(store: Any) -> None:
    await store.enqueue([new_job(b'"big"', type=t) for t in ("a", "b", "a", "b", "a")])
    held = await claim(store, 2, "a")
    await store.settle([with_result(held[0], b'"result"')], EPOCH)

    async def listed(states: list[State], type_: str | None, limit: int = 9) -> list[str]:
        types = None if type_ is None else [type_]
        page = await store.list_jobs(Filter(states=states, types=types), before=None, limit=limit)
        assert all(
            job.payload_text is job.result_text is job.content_type is None for job in page.jobs
        )
        return [f"{job.type} {job.state}" for job in page.jobs]

    assert await listed(list(State), None) == [
        "a queued", "b queued", "a running", "b queued", "a done",
    ]  # fmt: skip
    assert await listed([State.QUEUED], None) == ["a queued", "b queued", "b queued"]
    assert await listed(list(State), "a") == ["a queued", "a running", "a done"]
    assert await listed(list(State), "a", 2) == ["a queued", "a running"]
    assert await listed([State.RUNNING, State.DONE], "a") == ["a running", "a done"]
    assert await listed([State.RUNNING], "b") == []
    assert await listed([], None) == await listed(list(State), "nope") == []


async def test_counters_know_every_queue_and_leave_out_zeros(store: Any) -> None:
    await store.enqueue([new_job(queue="a"), new_job(queue="b"), due_in(9, queue="b")])
    [held] = await claim(store, 1)
    assert await store.counts() == {
        "a": {State.RUNNING: 1},
        "b": {State.QUEUED: 1, State.SCHEDULED: 1},
    }
    await store.settle([settlement(held.lease)], EPOCH)
    assert await store.counts() == {
        "a": {State.DONE: 1},
        "b": {State.QUEUED: 1, State.SCHEDULED: 1},
    }


async def test_a_writable_store_says_so_and_changes_nothing(store: Any) -> None:
    await store.check_writable()
    assert await store.counts() == {}


# ── closing ───────────────────────────────────────────────────────────────────────────────────


async def test_reopening_finds_everything_as_it_was(backend: Backend) -> None:
    async with backend.open() as store:
        await store.enqueue([new_job(b'{"n": 1}', tags=["t"]), due_in(5), new_job(b"\0", "a/b")])
        [held] = await claim(store, 1)
        await store.settle([with_result(held, b'"r"')], EPOCH + 1)
        before = await store.get([job.id for job in await all_jobs(store)])
        counts = await store.counts()
    async with backend.open() as store:
        assert await store.get(list(before)) == before
        assert await store.counts() == counts == backend.recount()
        assert await store.promote(EPOCH, 9) == (0, EPOCH + 5)
