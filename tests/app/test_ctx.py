"""What a handler is given beside its payload, wherever it runs."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from trio_jobs import Ctx, Jobs, Settings
from trio_jobs.job import State
from trio_jobs.testing import Rehearsal, rehearsing

app = Jobs(builtins=False)


def walk(ctx: Ctx) -> list[int]:
    """Three steps an attempt, each remembered."""
    seen: list[int] = ctx.saved or []
    for n in range(len(seen), 7):
        if n and n % 3 == 0 and len(seen) // 3 == ctx.attempt:
            raise RuntimeError(f"out of breath at {n}")
        seen = [*seen, n]
        ctx.save(seen)
        ctx.log(f"step {n}")
    return seen


@app.job(backoff=[0.01], max_attempts=3)
async def walk_in_loop(ctx: Ctx) -> list[int]:
    return walk(ctx)


@app.job(backoff=[0.01], max_attempts=3)
def walk_in_thread(ctx: Ctx) -> list[int]:
    return walk(ctx)


@app.job(backoff=[0.01], max_attempts=3, isolation="process")
def walk_in_process(ctx: Ctx) -> list[int]:
    return walk(ctx)


@app.job(isolation="process", timeout=2, max_attempts=2, backoff=[0.01])
def hopeless(ctx: Ctx) -> str:
    if ctx.saved:
        return f"saved {ctx.saved}"
    ctx.save("before the end")
    re.match(r"(a+)+$", "a" * 60 + "b")
    return "never"


@app.job(timeout=30)
async def clocked(ctx: Ctx) -> tuple[float, float]:
    before = ctx.seconds_left
    await trio.sleep(10)
    return before, ctx.seconds_left


@app.job(max_attempts=1)
async def greedy(ctx: Ctx) -> None:
    ctx.save("x" * 256_000)


@app.job(max_attempts=1)
async def stubborn(ctx: Ctx) -> None:
    ctx.save(object())


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Rehearsal]:
    async with rehearsing(app, tmp_path) as rehearsal:
        yield rehearsal


@pytest.mark.parametrize("handler", [walk_in_loop, walk_in_thread, walk_in_process])
async def test_an_attempt_goes_on_where_the_last_one_stopped(
    tmp_path: Path, handler: object
) -> None:
    """In real time, threads and processes."""
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    settings = Settings(data_dir=str(tmp_path / "data"), poll_interval=0.05)
    async with app.open(url, workers=True, settings=settings) as service:
        job = await handler.enqueue()
        assert await job.result(timeout=20) == list(range(7))
        assert (await job.get()).attempt == 3
        assert [line.message for line in await service.logs(job.id, 0, 20)] == [
            f"step {n}" for n in range(7)
        ]


async def test_what_was_saved_outlives_the_process_that_was_killed(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path / "data"), poll_interval=0.05)
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    async with app.open(url, workers=True, settings=settings):
        job = await hopeless.enqueue()
        assert await job.result(timeout=20) == "saved before the end"


async def test_time_left_shrinks_with_the_clock(jobs: Rehearsal, autojump_clock: MockClock) -> None:
    before, after = (await jobs.run(clocked)).result
    assert before == pytest.approx(30, abs=0.01)
    assert after == pytest.approx(20, abs=0.01)


async def test_what_cannot_be_saved_is_the_handlers_error(
    jobs: Rehearsal, autojump_clock: MockClock
) -> None:
    for handler, error in ((greedy, "ValueError"), (stubborn, "TypeError")):
        ran = await jobs.run(handler)
        assert (ran.state, ran.job.error and ran.job.error.type) == (State.FAILED, error)


def test_a_handler_that_no_process_can_find_is_refused_where_it_is_made() -> None:
    def nested() -> None: ...

    with pytest.raises(ValueError, match="move it to the top level"):
        Jobs().job(isolation="process")(nested)

    async def waits() -> None: ...

    with pytest.raises(ValueError, match="make it a plain def"):
        Jobs().job(isolation="process")(waits)
    with pytest.raises(ValueError, match="max_memory needs"):
        Jobs().job(max_memory=1)(nested)
