"""How long to wait before the next attempt.

The default is n^4 + 15 seconds after the n-th failed attempt: 16 s, 31 s, 96 s, 271 s, 640 s …
(Sidekiq's formula; quick at first, patient later), plus or minus 10 % so that jobs that failed
together do not come back together, and never more than a day.
"""

import random
from dataclasses import dataclass

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds to wait after `attempt` failed attempts: `base + attempt ** power`, capped.

    `jitter` is the fraction (0 to 1) by which the wait may differ either way.
    """

    base: float = 15.0
    power: float = 4.0
    jitter: float = 0.10
    cap: float = DAY

    def seconds(self, attempt: int, uniform: float | None = None) -> float:
        """`uniform` in [0, 1) replaces the dice, for tests."""
        dice = random.random() if uniform is None else uniform  # noqa: S311 - jitter, no secret
        try:
            wait = min(self.base + float(attempt**self.power), self.cap)
        except OverflowError:  # a steep curve, many attempts: certainly more than the cap
            wait = self.cap
        return min(wait * (1 + self.jitter * (2 * dice - 1)), self.cap)
