"""The soak's job types, and a gauge in the event loop that runs them.

It is copied as `tasks.py` to where a process of the soak works. With SOAK_LEAK set, a type leaks.
"""

import json
import logging
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import trio

from trio_jobs import Ctx, Fail, Jobs, Snooze

LOOK = 0.005  # seconds
LEAKS = "SOAK_LEAK" in os.environ

app = Jobs()
kept: list[object] = []


@app.lifespan
async def gauge() -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_report)
        yield
        nursery.cancel_scope.cancel()


async def _report() -> None:
    """Writes a line a second: how late the loop is, and what this process holds."""
    page = os.sysconf("SC_PAGE_SIZE")
    proc = Path("/proc/self")
    with Path("gauge").open("w", buffering=1) as gauge:  # noqa: ASYNC230 - memory
        while True:
            lags = []
            end = trio.current_time() + 1
            while trio.current_time() < end:
                due = trio.current_time() + LOOK
                await trio.sleep_until(due)
                lags.append(round((trio.current_time() - due) * 1e3, 2))
            told = {
                "lags_ms": lags,
                "memory_mb": int((proc / "statm").read_text().split()[1]) * page / 1e6,
                "descriptors": len(os.listdir(proc / "fd")),  # noqa: PTH208
                "threads": len(os.listdir(proc / "task")),  # noqa: PTH208
                "tasks": trio.lowlevel.current_statistics().tasks_living,
            }
            gauge.write(json.dumps(told) + "\n")


@app.job(backoff=[0.5, 1], max_attempts=4)
async def flaky(ctx: Ctx) -> int:
    if ctx.attempt < 3:
        raise RuntimeError(f"attempt {ctx.attempt} fails")
    return ctx.attempt


@app.job(backoff=[1, 2], max_attempts=3)
async def hopeless() -> None:
    raise ConnectionError("the other side is never there")


@app.job()
async def refused() -> None:
    raise Fail("no use in trying again")


@app.job(timeout=1, max_attempts=2, backoff=[1])
async def hang() -> None:
    await trio.sleep_forever()


@app.job(isolation="process", timeout=20, backoff=[0.5])
def isolated(words: dict[str, int], ctx: Ctx) -> int:
    ctx.progress(1, 2)
    ctx.log("half of it")
    return sum(number * number for number in range(words["steps"]))


@app.job(isolation="process", timeout=1, max_attempts=1)
def stuck() -> None:
    time.sleep(60)  # the timeout kills the process


@app.job(timeout=10)
def threaded(ctx: Ctx) -> None:
    for _ in range(5):
        time.sleep(0.01)
        ctx.checkpoint()


@app.job()
async def snoozing(ctx: Ctx) -> int:
    naps: int = ctx.saved or 0
    if naps < 2:
        ctx.save(naps + 1)
        raise Snooze(1)
    return naps


@app.job()
async def chatty(ctx: Ctx) -> str:
    for step in range(10):
        ctx.progress(step, 10, "steps")
        ctx.log(f"step {step}")
        logging.getLogger(__name__).info("step %d is done", step)
        await trio.sleep(0.02)
    ctx.save({"steps": 10})
    if LEAKS:
        kept.append(b"x" * 10_000_000)
        kept.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(10))
    return "x" * 2_000
