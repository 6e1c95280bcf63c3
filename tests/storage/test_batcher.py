"""Group commit: who rides with whom, and who is answered when it goes wrong."""

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from trio_jobs.errors import StoreBroken, Unavailable, Uncertain
from trio_jobs.storage.batcher import CROWD, LOAD, MOMENT, MOST, Batcher, Patience


class Echo:
    """A process that answers each request with itself, in batches it remembers."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = trio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def __call__(self, requests: Sequence[str]) -> Sequence[str]:
        self.batches.append(list(requests))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if "bad" in requests:
            raise ValueError("bad")
        return requests


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def batcher(echo: Echo, nursery: trio.Nursery) -> Batcher[str]:
    """Requests that start with `~` have patience for a moment, those with `-` for a turn."""
    patience = {"~": Patience.MOMENT, "-": Patience.TURN}
    batcher = Batcher[str](echo, patience=lambda text: patience.get(text[0], Patience.NONE))
    await nursery.start(batcher.run)
    return batcher


async def test_a_lone_caller_waits_for_nobody(
    batcher: Batcher[str], echo: Echo, autojump_clock: trio.testing.MockClock
) -> None:
    assert await batcher("a") == "a"
    assert trio.current_time() == 0
    assert echo.batches == [["a"]]


async def test_each_caller_gets_its_own_answer(batcher: Batcher[str], echo: Echo) -> None:
    answers: dict[str, object] = {}

    async def ask(text: str) -> None:
        try:
            answers[text] = await batcher(text)
        except ValueError as error:
            answers[text] = str(error)

    async with trio.open_nursery() as nursery:
        for text in ("a", "bad", "b"):
            nursery.start_soon(ask, text)
    assert answers == {"a": "a", "bad": "bad", "b": "b"}
    assert sorted(map(sorted, echo.batches)) == [["a"], ["a", "b", "bad"], ["b"], ["bad"]]


async def test_a_patient_caller_waits_a_moment_for_company(
    batcher: Batcher[str], echo: Echo, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher, "~a")
        await trio.sleep(0.4 * MOMENT)
        nursery.start_soon(batcher, "~b")
        await trio.sleep(0.2 * MOMENT)
        assert await batcher("c") == "c"
    assert trio.current_time() == pytest.approx(0.6 * MOMENT)
    assert [sorted(batch) for batch in echo.batches] == [["c", "~a", "~b"]]


async def test_a_patient_caller_is_not_left_waiting_for_ever(
    batcher: Batcher[str], autojump_clock: trio.testing.MockClock
) -> None:
    assert await batcher("~a") == "~a"
    assert trio.current_time() == pytest.approx(MOMENT)


async def test_those_woken_by_a_caller_of_one_turn_get_on_board(
    batcher: Batcher[str], echo: Echo, nursery: trio.Nursery
) -> None:
    woken = trio.Event()

    async def worker() -> None:
        await woken.wait()
        await batcher("claim")

    nursery.start_soon(worker)
    await trio.testing.wait_all_tasks_blocked()
    woken.set()
    await batcher("-enqueue")
    assert [sorted(batch) for batch in echo.batches] == [["-enqueue", "claim"]]


async def test_a_crowd_leaves_before_those_it_woke(batcher: Batcher[str], echo: Echo) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(CROWD):
            nursery.start_soon(batcher, f"-{number}")
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        nursery.start_soon(batcher, "late")
    assert [len(batch) for batch in echo.batches] == [CROWD, 1]


async def test_closing_does_not_wait_for_the_patient(
    batcher: Batcher[str], autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher, "~a")
        await trio.sleep(0.5 * MOMENT)
        batcher.close()
    assert trio.current_time() == pytest.approx(0.5 * MOMENT)
    with pytest.raises(Unavailable):
        await batcher("b")


async def test_a_cancelled_caller_never_leaves(
    batcher: Batcher[str], echo: Echo, autojump_clock: trio.testing.MockClock
) -> None:
    with trio.move_on_after(0.5 * MOMENT):
        await batcher("~gone")
    assert await batcher("b") == "b"
    assert echo.batches == [["b"]]


async def test_a_caller_cancelled_under_way_is_not_waited_for(
    batcher: Batcher[str], echo: Echo, autojump_clock: trio.testing.MockClock
) -> None:
    echo.gate = trio.Event()
    with trio.move_on_after(1):
        await batcher("gone")
    echo.gate.set()
    assert await batcher("b") == "b"
    assert echo.batches == [["gone"], ["b"]]


async def test_a_failure_of_the_process_itself_is_no_answer_but_everybody_gets_one() -> None:
    echo, errors = Echo(), list[Exception]()
    echo.gate, echo.error = trio.Event(), StoreBroken("the disk is gone")
    batcher = Batcher[str](echo)

    async def ask(text: str) -> None:
        try:
            await batcher(text)
        except Unavailable as error:
            errors.append(error)

    async def run(task_status: trio.TaskStatus[None]) -> None:
        with pytest.raises(StoreBroken, match="gone"):
            await batcher.run(task_status=task_status)

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        nursery.start_soon(ask, "under way")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ask, "waiting")
        await trio.testing.wait_all_tasks_blocked()
        echo.gate.set()
    assert [type(error) for error in sorted(errors, key=str)] == [Unavailable, Uncertain]
    with pytest.raises(Unavailable):
        await batcher("after")


async def test_being_cancelled_answers_everybody_too() -> None:
    echo, errors = Echo(), list[Exception]()
    echo.gate = trio.Event()
    batcher = Batcher[str](echo)

    async def ask(text: str) -> None:
        try:
            await batcher(text)
        except Unavailable as error:
            errors.append(error)

    async with trio.open_nursery() as callers, trio.open_nursery() as nursery:
        await nursery.start(batcher.run)
        callers.start_soon(ask, "under way")
        await trio.testing.wait_all_tasks_blocked()
        callers.start_soon(ask, "waiting")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(errors) == 2


async def test_nobody_is_forgotten_in_a_crowd(batcher: Batcher[str]) -> None:
    answers: list[object] = []

    async def ask(n: int) -> None:
        answers.extend([await batcher(f"{n}.{step}") for step in range(5)])

    async with trio.open_nursery() as nursery:
        for n in range(200):
            nursery.start_soon(ask, n)
    assert len(set(answers)) == 1_000


async def test_a_batch_has_a_limit_and_nobody_is_too_heavy_for_one_of_his_own(echo: Echo) -> None:
    batcher = Batcher[str](echo, weight=lambda text: int(text.partition(" ")[2]))
    async with trio.open_nursery() as nursery:
        for text in (f"a {LOAD - 1}", "b 1", "c 1", f"d {2 * LOAD}", "e 1"):
            nursery.start_soon(batcher, text)
            await trio.testing.wait_all_tasks_blocked()
        batcher.close()
        nursery.start_soon(batcher.run)
    assert [[text[0] for text in batch] for batch in echo.batches] == [
        ["a", "b"],
        ["c"],
        ["d"],
        ["e"],
    ]


async def test_when_too_much_waits_only_those_who_can_come_back_are_refused(
    echo: Echo, nursery: trio.Nursery
) -> None:
    batcher = Batcher[str](
        echo, weight=lambda _: MOST // 4, may_be_refused=lambda text: text.startswith("new")
    )
    await nursery.start(batcher.run)
    echo.gate = trio.Event()
    answers: list[object] = []

    async def ask(text: str) -> None:
        try:
            answers.append(await batcher(text))
        except Unavailable as error:
            answers.append(type(error))

    nursery.start_soon(ask, "under way")
    await trio.testing.wait_all_tasks_blocked()
    for n in range(4):
        nursery.start_soon(ask, f"new {n}")
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(ask, "new and refused")
    nursery.start_soon(ask, "settle")
    await trio.testing.wait_all_tasks_blocked()
    assert answers == [Unavailable]
    echo.gate.set()
    await trio.testing.wait_all_tasks_blocked()
    assert set(answers[1:]) == {"under way", "new 0", "new 1", "new 2", "new 3", "settle"}
    assert await batcher("new again") == "new again"
