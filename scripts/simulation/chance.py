"""What goes wrong, and how often: drawn once for each seed, and then at every step."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

STEPS = {
    # between two steps of a process, around a call of its store
    "dies before": 0.004,
    "dies after": 0.006,
    "busy": 0.02,
    "full": 0.01,
    "spoiled": 0.1,
    "breaks before": 0.002,
    "breaks after": 0.01,
    "cannot read": 0.04,
    "slow": 0.03,
    # between a client and a process
    "reply lost": 0.1,
    "impatient": 0.1,
    # in a worker
    "late beat": 0.3,
    "misbehaves": 0.5,
    # from outside
    "kill": 0.12,
    "restart": 0.06,
    "clock": 0.15,
}
"""How likely each is, where it may happen at all."""


@dataclass
class Chance:
    """The dice of a world. Of all that may go wrong, each seed knows about half.

    From `calm` on, nothing does.
    """

    dice: random.Random
    calm: bool = False
    _rates: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self._rates = {
            what: rate * self.dice.choice((0.3, 1.0, 3.0))
            for what, rate in STEPS.items()
            if self.dice.random() < 0.6
        }

    def strikes(self, what: str) -> bool:
        """Does this happen, here and now?"""
        rate = self._rates.get(what, 0.0)
        return not self.calm and rate > 0 and self.dice.random() < rate

    def first(self, of: Sequence[str]) -> str | None:
        """The first that happens."""
        return next((what for what in of if self.strikes(what)), None)
