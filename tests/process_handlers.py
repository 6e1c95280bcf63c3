"""Handlers that processes run, and everything that can go wrong with one. It imports little."""

import ctypes
import logging
import os
import re
import threading
import time
from typing import Any

import msgspec

from trio_jobs.errors import Cancel, Fail, InvalidInput, Retry, Snooze

log = logging.getLogger("a.handler")


class Point(msgspec.Struct):
    """Some input."""

    x: int
    y: int = 0


def pid(_input: Any, _ctx: Any) -> int:
    return os.getpid()


def add(point: Point, _ctx: Any) -> Point:
    return Point(point.x + point.y)


def show(_input: Any, ctx: Any) -> list[Any]:
    ctx.checkpoint()
    return [
        ctx.job_id, ctx.attempt, ctx.max_attempts, ctx.content_type, ctx.traceparent, ctx.upload,
        ctx.cancel_reason, ctx.resources, ctx.saved, ctx.deadline, ctx.seconds_left,
    ]  # fmt: skip


def double_upload(point: Point, ctx: Any) -> bytes:
    assert ctx.upload is not None
    return ctx.upload * point.x


def loop_in_c(_input: Any, ctx: Any) -> None:
    ctx.progress(1, 2, f"pid {os.getpid()}")
    re.match(r"(a+)+$", "a" * 60 + "b")


def allocate(_input: Any, _ctx: Any) -> None:
    hoard: Any = []
    while True:
        hoard.append(bytearray(10_000_000))


def allocate_small(_input: Any, _ctx: Any) -> None:
    hoard: Any = []
    while True:
        hoard.append(
            []
        )  # not one in the other: Python 3.13 itself crashes at the end of memory then


def leave(_input: Any, _ctx: Any) -> None:
    log.warning("so long")
    os._exit(1)


def segfault(_input: Any, _ctx: Any) -> None:
    ctypes.string_at(0)


def exit_(_input: Any, _ctx: Any) -> None:
    raise SystemExit(3)


def say(n: int, ctx: Any) -> None:
    for i in range(n):
        ctx.progress(i + 1, n, "password=hunter22")
    log.info("%d of them, token=abcdefgh", n)
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        log.exception("see")


def flood(n: int, ctx: Any) -> None:
    for i in range(n):
        log.warning("line %d %s", i, "x" * 50)
        ctx.progress(i)


def say_and_wait(seconds: float, ctx: Any) -> None:
    ctx.progress(1)
    ctx.progress(2, note="newest")
    time.sleep(seconds)


def no_number(_input: Any, ctx: Any) -> None:
    ctx.progress(float("nan"))


class Unprintable(Exception):
    """Fights back when asked what happened."""

    def __str__(self) -> str:
        raise SystemExit(3)


ERRORS = {
    "fail": lambda: Fail("for good"),
    "retry": lambda: Retry("again", after=7),
    "snooze": lambda: Snooze(9),
    "cancel": lambda: Cancel("nobody needs it"),
    "group": lambda: BaseExceptionGroup("several", [ValueError("a"), Retry("b", after=3)]),
    "value": lambda: ValueError("password=hunter22"),
    "unprintable": Unprintable,
    "unpicklable": lambda: InvalidInput(threading.Lock()),  # type: ignore[arg-type]
    "interrupt": KeyboardInterrupt,
}


def raise_(kind: str, _ctx: Any) -> None:
    raise ERRORS[kind]()


def give(kind: str, _ctx: Any) -> Any:
    return {
        "nothing": None,
        "bytes": b"\xff\0",
        "huge": "x" * 50_000_000,
        "object": object(),
        "lock": threading.Lock(),
    }[kind]


def leave_thread(_input: Any, _ctx: Any) -> None:
    threading.Thread(target=time.sleep, args=(3_600,)).start()


def signals(_input: Any, _ctx: Any) -> str:
    os.kill(os.getpid(), 15)
    os.kill(os.getpid(), 2)
    return "alive"


def modules(_input: Any, _ctx: Any) -> list[str]:
    import sys

    return sorted({name.partition(".")[0] for name in sys.modules})
