"""What time it is by the clock of the database, without asking it each time.

Processes on several machines share one database, and a machine whose clock is wrong by a minute
must not take jobs from workers that live. So for all of them it is as late as it is there: each
measures how far its own monotonic clock is off, again and again. Steps of its wall clock do not
matter at all.
"""

import time

NEAR = 0.02  # seconds: a measurement is off by half of what it took
OLD = 60.0


class DatabaseClock:
    """`now()` in Unix seconds. Before the first measurement, the process's own."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()
        self._measured = -OLD

    def now(self) -> float:
        return time.monotonic() + self._offset

    def measured(self, asked: float, shown: float, answered: float) -> None:
        """The database showed `shown`, between `asked` and `answered` on the monotonic clock.

        A slow answer says little: it counts only where there has been no better one for long.
        """
        if answered - asked < NEAR or answered - self._measured > OLD:
            self._offset = shown - (asked + answered) / 2
            self._measured = answered
