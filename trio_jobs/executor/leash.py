"""What a process of handlers is bound to: the life of its parent, and an amount of memory."""

import fcntl
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import util
from pathlib import Path
from types import FrameType

GOING = 2  # seconds that a process has to end, once it wants to
RESERVE = 4_000_000
"""Bytes of address space kept back from a job: what is done after it has used up all the rest."""


def follow_parent() -> None:
    """Ends with its parent, not before it, and promptly.

    On Linux the kernel kills this process as soon as its parent is gone, however that went and
    whatever goes on here: an endless loop in C runs no Python. (Not by PR_SET_PDEATHSIG: there, the
    parent is the thread that has started us, and trio's threads come and go.) Elsewhere it ends
    after the job at hand.
    """
    if sys.platform == "linux" and (parent := multiprocessing.parent_process()) is not None:
        pipe = parent.sentinel  # becomes readable when no parent holds the other end
        fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    # systemd and others send SIGTERM to all processes of a service: the parent drains, and decides.
    # A function and not SIG_IGN, which programs that a handler starts would inherit.
    signal.signal(signal.SIGTERM, _ignore)
    # Threads that a job has left behind must not keep this process when it wants to go.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    util.Finalize(None, signal.alarm, (GOING,), exitpriority=100)
    with suppress(OSError):  # when the machine runs out of memory: rather this than the parent
        Path("/proc/self/oom_score_adj").write_text("500")


def _ignore(_number: int, _frame: FrameType | None) -> None: ...


@contextmanager
def limited_memory(size: int | None) -> Iterator[None]:
    """Inside, this process may map `size` bytes more than it has now; past that: MemoryError."""
    if size is None:
        yield
        return
    soft, hard = before = resource.getrlimit(resource.RLIMIT_AS)
    reserve = bytearray(RESERVE)
    limits = [_mapped() + size, *(limit for limit in before if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    try:
        yield
    finally:
        del reserve
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _mapped() -> int:
    """Bytes of address space in use; 0 where that is not known."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[0]
    except OSError:
        return 0
    return int(pages) * resource.getpagesize()
