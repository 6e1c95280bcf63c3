"""Peers that block: their coroutines never wait, so that any thread can run one to its end.

Their workers are programs of their own, started as their manuals say.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        main().send(None)
    except StopIteration:
        return
    raise AssertionError("a coroutine of a blocking peer waited")


async def sleep(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - there is no event loop to hold up


async def crowd(size: int, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with ThreadPoolExecutor(size) as pool:
        list(pool.map(lambda _: run(call), range(size)))


def spawn(*command: str) -> int:
    """Starts a program of this environment; the pid. When it ends, it has failed."""
    here = Path(__file__).parent
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / command[0]), *command[1:]],
        stdout=sys.stderr,
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(here)},
    )

    def ended() -> None:
        process.wait()
        os._exit(1)

    threading.Thread(target=ended, daemon=True).start()
    return process.pid
