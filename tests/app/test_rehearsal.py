"""The testing kit, on the example app; and what the example promises."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from trio.testing import MockClock

from trio_jobs import JobFailed, TimedOut
from trio_jobs.errors import InvalidInput
from trio_jobs.job import State
from trio_jobs.testing import EPOCH, Rehearsal, rehearsing

from . import example
from .example import Receipt, Sent, Thumb


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Rehearsal]:
    async with rehearsing(example.app, tmp_path) as rehearsal:
        yield rehearsal


async def test_a_function_stays_a_function() -> None:
    assert example.thumbnail(Thumb("a")) == b"a@320"
    assert example.thumbnail.__doc__ == "A small picture."


async def test_one_attempt_gives_the_typed_result(
    jobs: Rehearsal, autojump_clock: MockClock
) -> None:
    assert (await jobs.run(example.thumbnail, Thumb("a.png", 64))).result == b"a.png@64"
    assert (await jobs.run(example.import_csv, {"text": "a\nb\n"})).result == 2
    assert (await jobs.run(example.send_receipt, Receipt("a@b"))).result == Sent("a@b", 1)


async def test_one_attempt_shows_its_verdict(jobs: Rehearsal, autojump_clock: MockClock) -> None:
    failed = await jobs.run(example.send_receipt, Receipt("nobody"))
    assert (failed.state, failed.reason) == (State.FAILED, "permanent")
    with pytest.raises(JobFailed, match="there is nobody") as caught:
        _ = failed.result
    assert (caught.value.type, caught.value.state) == ("Fail", "failed")
    later = await jobs.run(example.send_receipt, Receipt("later"))
    assert later.state is State.SCHEDULED
    assert later.run_at == pytest.approx(jobs.now() + 4 * 86_400, abs=1)
    snoozed = await jobs.run(example.send_receipt, Receipt("busy"))
    assert (snoozed.state, snoozed.reason) == (State.SCHEDULED, "snoozed")


async def test_a_month_of_retries_is_drained_in_no_time(
    jobs: Rehearsal, autojump_clock: MockClock
) -> None:
    job = await example.send_receipt.enqueue(Receipt("later"))
    with pytest.raises(TimedOut):
        await job.result(timeout=1)
    await jobs.drain()
    assert await job.result() == Sent("later", 8)
    assert jobs.now() - EPOCH >= 28 * 86_400


async def test_time_passes_as_far_as_the_test_says(
    jobs: Rehearsal, autojump_clock: MockClock
) -> None:
    job = await example.send_receipt.enqueue(Receipt("a@b"), delay=60)
    await jobs.advance(59)
    assert await job.status() is State.SCHEDULED
    await jobs.advance(2)
    assert await job.result(timeout=0) == Sent("a@b", 1)
    assert jobs.now() == pytest.approx(EPOCH + 61, abs=0.1)


async def test_what_waits_can_be_looked_at(jobs: Rehearsal, autojump_clock: MockClock) -> None:
    ran = await jobs.run(example.nightly)
    waiting = await jobs.enqueued(type="send_receipt")
    assert [job.id for job in waiting] == ran.result
    assert [job.payload for job in waiting] == [Receipt("a@b"), Receipt("c@d")]
    await example.thumbnail.enqueue(Thumb("a"))
    [picture] = await jobs.enqueued("thumbnail")
    assert (picture.queue, picture.priority) == ("media", 5)


async def test_a_unique_job_stands_for_the_second_one(
    jobs: Rehearsal, autojump_clock: MockClock
) -> None:
    first = await example.send_receipt.enqueue(Receipt("a@b", 1))
    second = await example.send_receipt.enqueue(Receipt("a@b", 2))
    other = await example.send_receipt.enqueue(Receipt("ä" * 300))
    assert first.id == second.id != other.id


async def test_a_wrong_payload_is_refused_at_once(
    jobs: Rehearsal, autojump_clock: MockClock
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await example.thumbnail.enqueue({"path": 1})  # type: ignore[arg-type]
    assert caught.value.pointer == "/input/path"


async def test_a_job_under_an_old_name_is_run(jobs: Rehearsal, autojump_clock: MockClock) -> None:
    from trio_jobs.service import Order

    [placed] = await jobs.service.enqueue([Order(type="old.import", payload=b'{"text": "a"}')])
    await jobs.drain()
    assert (await jobs.service.get(placed.job.id)).result_text == "1"


async def test_a_cancelled_job_has_no_result(jobs: Rehearsal, autojump_clock: MockClock) -> None:
    job = await example.thumbnail.enqueue(Thumb("a"))
    await job.cancel()
    with pytest.raises(JobFailed, match="is cancelled"):
        await job.result()
