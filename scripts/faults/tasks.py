"""The handlers of the services: a good one, and bad ones."""

TASKS = '''
import os, sys, threading, time
import trio
from trio_jobs import Ctx, Jobs

app = Jobs()
kept = []


def note(what: str, ctx: Ctx) -> None:
    with open("executions", "a") as file:
        file.write(f"{what} {ctx.job_id}\\n")


@app.job(max_attempts=3, backoff=[0])
async def work(p: dict[str, float], ctx: Ctx) -> None:
    """Takes its time, and writes down that it began and ended."""
    note("begin", ctx)
    await trio.sleep(p["seconds"])
    note("end", ctx)


@app.job(timeout=0.5, max_attempts=1)
async def swallow(ctx: Ctx) -> None:
    while True:
        try:
            await trio.sleep(1)
        except trio.Cancelled:
            pass


@app.job(timeout=0.5, max_attempts=1)
def hang() -> None:
    time.sleep(3600)


@app.job(max_attempts=1)
async def block(p: dict[str, float]) -> None:
    time.sleep(p["seconds"])


@app.job(max_attempts=1)
async def throw(p: dict[str, str]) -> None:
    raise MADE[p["what"]]()


@app.job(max_attempts=1)
def throw_in_thread(p: dict[str, str]) -> None:
    raise MADE[p["what"]]()


@app.job()
async def explode() -> None:
    os._exit(9)


@app.job(max_attempts=1)
async def leak() -> None:
    kept.append(open(__file__))
    trio.lowlevel.spawn_system_task(trio.sleep, 60)
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


@app.job(max_attempts=6, backoff=[0.1])
async def fail_fast() -> None:
    raise ValueError("again")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words for it")
    __repr__ = __str__


def group() -> BaseException:
    """With a Cancelled deep inside, which nobody has asked for."""
    inner = BaseExceptionGroup("inner", [cancellation()])
    return BaseExceptionGroup("outer", [ValueError("a"), inner])


def cancellation() -> BaseException:
    caught = []

    async def main() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.sleep(1)
            except trio.Cancelled as error:
                caught.append(error)
                raise

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    thread.join()
    return caught[0]


MADE = {
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "BaseException": BaseException,
    "GeneratorExit": GeneratorExit,
    "StopAsyncIteration": StopAsyncIteration,
    "RecursionError": RecursionError,
    "MemoryError": MemoryError,
    "a nested group with Cancelled": group,
    "unprintable": Unprintable,
    "huge": lambda: ValueError("x" * 50_000_000),
    "odd letters": lambda: ValueError("\\0 \\ud800 \\x1b[31m"),
}
'''
