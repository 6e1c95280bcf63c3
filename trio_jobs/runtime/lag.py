"""How late the event loop is: what a handler that blocks it costs everybody else."""

import trio

from ..metrics import Metrics

EVERY = 0.25  # seconds


async def watch_lag(metrics: Metrics) -> None:
    """Sleeps for a moment, over and over, and counts how much longer that took."""
    while True:
        due = trio.current_time() + EVERY
        await trio.sleep_until(due)
        metrics.lagged(max(trio.current_time() - due, 0.0))
