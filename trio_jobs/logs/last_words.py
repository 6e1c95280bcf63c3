"""What is said on stderr past the log: at the very end, and only if nobody waits for it."""

import os
import select
from contextlib import suppress

STDERR = 2


def say_if_possible(text: str) -> None:
    """Write a short line to stderr, unless nobody reads there: then it is left out.

    A pipe that is ready takes PIPE_BUF (4,096) bytes without blocking.
    """
    with suppress(OSError, ValueError):
        _, ready, _ = select.select([], [STDERR], [], 0)
        if ready:
            os.write(STDERR, text.encode("utf-8", "replace")[:4_000] + b"\n")
