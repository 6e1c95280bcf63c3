"""What was acknowledged, and how it ended: known outside of the service."""

import time
from collections import Counter
from dataclasses import dataclass, field

WORKED, FAILED = frozenset({"done"}), frozenset({"failed"})
ENDS = {
    "hopeless": FAILED,
    "refused": FAILED,
    "hang": FAILED,
    "stuck": FAILED,
    "sleep": frozenset({"done", "cancelled"}),
}
"""How a job of a type may end; others have to be done."""


@dataclass(frozen=True)
class Promise:
    """A job that was acknowledged and has not ended yet."""

    type: str
    at: float


@dataclass
class Ledger:
    """`open`, by id. It forgets what has ended, so that an hour of jobs fits."""

    open: dict[str, Promise] = field(default_factory=dict)
    acknowledged: int = 0
    ended: Counter[str] = field(default_factory=Counter)  # "type state" -> jobs
    wrong: list[str] = field(default_factory=list)  # ends that the type does not have
    lost: list[str] = field(default_factory=list)  # gone, and nobody heard of an end
    unheard: int = 0  # ends that the event stream did not tell
    _early: set[str] = field(default_factory=set)  # told before their 201 was read

    def acknowledge(self, id_: str, type_: str) -> None:
        self.acknowledged += 1
        if id_ in self._early:
            self._early.discard(id_)
        else:
            self.open[id_] = Promise(type_, time.monotonic())

    def end(self, id_: str, type_: str, state: str) -> None:
        """It has ended. Jobs whose 201 never came end, too."""
        if self.open.pop(id_, None) is None:
            self._early.add(id_)
        self.ended[f"{type_} {state}"] += 1
        if state not in ENDS.get(type_, WORKED):
            self.wrong.append(f"{id_} ({type_}) {state}")

    def lose(self, id_: str) -> None:
        """The service does not know it any more."""
        promise = self.open.pop(id_, None)
        if promise is not None:
            self.lost.append(f"{id_} ({promise.type})")

    def older(self, seconds: float) -> list[str]:
        """Those that are open for longer."""
        since = time.monotonic() - seconds
        return [id_ for id_, promise in self.open.items() if promise.at <= since]
