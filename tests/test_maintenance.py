"""Upkeep: what is due becomes due by itself, and what was left behind is found."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trio_jobs import maintenance
from trio_jobs.config import Settings
from trio_jobs.errors import Unavailable
from trio_jobs.job import State
from trio_jobs.maintenance import Maintenance
from trio_jobs.registry import Handler
from trio_jobs.storage.records import Expired, Promoted, Rescued

from .conftest import EPOCH, now


class Ledger:
    """Stands where the store would: so many jobs due at a time, so many left behind."""

    def __init__(self) -> None:
        self.due: list[float] = []
        self.left_behind = 0
        self.promotes: list[float] = []
        self.rescues: list[float] = []
        self.error: Exception | None = None
        self.overdue: list[float] = []
        self.old = 0
        self.prunes: list[float] = []

    async def promote(self, at: float, limit: int) -> Promoted:
        await trio.lowlevel.checkpoint()
        self.promotes.append(at - EPOCH)
        if self.error is not None:
            raise self.error
        due = sorted(time for time in self.due if time <= at)[:limit]
        for time in due:
            self.due.remove(time)
        return Promoted(len(due), min(self.due, default=None))

    async def rescue(self, at: float, limit: int) -> Rescued:
        await trio.lowlevel.checkpoint()
        self.rescues.append(at - EPOCH)
        if self.error is not None:
            raise self.error
        moved = min(self.left_behind, limit)
        self.left_behind -= moved
        return Rescued(moved, 0)

    async def expire(self, at: float, limit: int) -> Expired:
        await trio.lowlevel.checkpoint()
        over = sorted(time for time in self.overdue if time <= at)[:limit]
        for time in over:
            self.overdue.remove(time)
        return Expired(len(over), min(self.overdue, default=None))

    async def prune(self, cutoffs: Any, at: float, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        self.prunes.append(at - EPOCH)
        removed = min(self.old, limit)
        self.old -= removed
        return removed


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def start(ledger: Ledger, nursery: trio.Nursery) -> Callable[..., Any]:
    """Starts upkeep over the ledger."""

    async def start(**changes: Any) -> None:
        upkeep = Maintenance(ledger, Settings(**changes), now=now)  # type: ignore[arg-type]
        await nursery.start(upkeep.run)

    return start


async def test_it_is_ready_only_when_the_dead_have_been_looked_for(
    ledger: Ledger, start: Callable[..., Any], autojump_clock: MockClock
) -> None:
    await start()
    assert ledger.rescues[0] == 0.0


async def test_a_job_is_promoted_when_it_is_due_and_not_at_the_next_poll(
    ledger: Ledger, start: Callable[..., Any], autojump_clock: MockClock
) -> None:
    ledger.due = [EPOCH + 3.25, EPOCH + 7.5]
    await start(poll_interval=60.0)
    await trio.sleep(3.3)
    assert ledger.due == [EPOCH + 7.5]
    await trio.sleep(4.3)
    assert ledger.due == []
    assert len(ledger.promotes) < 10, "without spinning"


async def test_a_flood_of_due_jobs_moves_in_slices_without_a_pause(
    ledger: Ledger,
    start: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: MockClock,
) -> None:
    monkeypatch.setattr(maintenance, "SLICE", 10)
    ledger.due = [EPOCH] * 95
    await start(poll_interval=60.0)
    await trio.sleep(0.01)
    assert ledger.due == []


async def test_a_crash_that_left_many_jobs_is_cleared_without_a_pause(
    ledger: Ledger,
    start: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: MockClock,
) -> None:
    """A restart resumes what it held in 2 s, however much that is."""
    monkeypatch.setattr(maintenance, "SLICE", 10)
    ledger.left_behind = 95
    await start(lease=30.0)
    await trio.sleep(0.01)
    assert ledger.left_behind == 0


async def test_leases_are_looked_at_often_enough(
    ledger: Ledger, start: Callable[..., Any], autojump_clock: MockClock
) -> None:
    await start(lease=30.0)
    await trio.sleep(61)
    gaps = [b - a for a, b in itertools.pairwise(ledger.rescues)]
    assert max(gaps) <= 5.0 + 1e-6
    assert len(ledger.rescues) <= 15


async def test_a_store_that_is_busy_for_a_while_does_not_end_upkeep(
    ledger: Ledger,
    start: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    autojump_clock: MockClock,
) -> None:
    await start()
    await trio.sleep(0.5)
    ledger.error = Unavailable("busy")
    ledger.due = [EPOCH + 1]
    await trio.sleep(10)
    assert len(ledger.due) == 1
    ledger.error = None
    await trio.sleep(1.1)
    assert ledger.due == []
    assert "upkeep has to wait: busy" in caplog.text


async def test_a_start_does_not_fail_where_the_first_rescue_has_to_wait(
    start: Callable[..., Any], ledger: Ledger, autojump_clock: MockClock
) -> None:
    ledger.error, ledger.left_behind = Unavailable("the disk is full"), 3
    await start()
    ledger.error = None
    await trio.sleep(1.1)
    assert ledger.left_behind == 0


async def test_upkeep_of_a_real_store_over_hours(
    start_system: Callable[..., Any], autojump_clock: MockClock
) -> None:
    async def run(_input: object, _ctx: object) -> None:
        """A handler."""

    system = await start_system([Handler("x", run)], poll_interval=60.0)
    ids = [await system.enqueue("x", delay=hours * 3_600.0 + 0.5) for hours in (0.1, 1, 2)]
    await trio.sleep(7_300)
    for id_, hours in zip(ids, (0.1, 1, 2), strict=True):
        job = await system.service.get(id_)
        assert job.state is State.DONE
        assert job.started_at == pytest.approx(EPOCH + hours * 3_600 + 0.5, abs=0.01)


async def test_a_job_is_cancelled_at_its_deadline_and_not_at_the_next_poll(
    ledger: Ledger, start: Callable[..., Any], autojump_clock: MockClock
) -> None:
    ledger.overdue = [EPOCH + 3.25, EPOCH + 7.5]
    await start(poll_interval=60.0)
    await trio.sleep(3.3)
    assert ledger.overdue == [EPOCH + 7.5]
    await trio.sleep(4.3)
    assert ledger.overdue == []


async def test_old_jobs_go_in_slices_with_room_for_others_between_them(
    ledger: Ledger, start: Callable[..., Any], autojump_clock: MockClock
) -> None:
    ledger.old = 10 * maintenance.PRUNED + 1
    await start()
    await trio.sleep(1)
    assert ledger.old == 0
    gaps = [b - a for a, b in itertools.pairwise(ledger.prunes)]
    assert min(gaps) >= 0.04


async def test_what_is_kept_for_a_moment_only_goes_soon_and_what_is_kept_for_ever_costs_nothing(
    ledger: Ledger, start: Callable[..., Any], autojump_clock: MockClock
) -> None:
    await start(keep=("noop.done=0",))
    await trio.sleep(60)
    often = len(ledger.prunes)
    assert often >= 12
    await start(keep=("done=forever", "failed=forever", "cancelled=forever"))
    await trio.sleep(3_000)
    assert len(ledger.prunes) - often <= 3_000 / 5 + 2
