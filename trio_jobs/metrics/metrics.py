"""What one process has counted since it began."""

from collections.abc import Collection, Iterable, Mapping

from . import families
from .families import OTHER, Family
from .instruments import Counter, Distribution, Histogram, Labels
from .rates import Rates

MOST_QUEUES = 100
WEBHOOK = "webhook"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """One for each process, handed down to whoever has something to count.

    `types` and `queues` are known from the start. Other types never get a label of their own;
    other queues do, until there are a hundred: what clients invent costs no memory.
    """

    def __init__(self, types: Iterable[str] = (), queues: Iterable[str] = ("default",)) -> None:
        self._types = frozenset(types)
        self._queues = set(queues)
        self._enqueued = Counter()
        self._finished = Counter()
        self._rates = Rates()
        self._rescues = Counter()
        self._webhooks = Counter()
        self._run = Histogram(families.RUN.bounds)
        self._wait = Histogram(families.WAIT.bounds)
        self._request = Histogram(families.REQUEST.bounds)
        self._commit = Histogram(families.COMMIT.bounds)
        self._batch = Histogram(families.BATCH.bounds)
        self._lag = Histogram(families.LAG.bounds)
        self._rescues.add(0)

    # ── labels ────────────────────────────────────────────────────────────────────────────────

    @property
    def queues(self) -> Collection[str]:
        """Those that have a label of their own."""
        return self._queues

    def queue(self, name: str) -> str:
        """The label of a queue."""
        if name not in self._queues:
            if len(self._queues) >= MOST_QUEUES:
                return OTHER
            self._queues.add(name)
        return name

    def type(self, name: str) -> str:
        """The label of a type."""
        return name if name in self._types else OTHER

    # ── what happens ──────────────────────────────────────────────────────────────────────────

    def enqueued(self, queue: str, type_: str, n: int) -> None:
        """`n` jobs were stored."""
        self._enqueued.add(n, self.queue(queue), self.type(type_))

    def started(self, queue: str, waits: list[float]) -> None:
        """Jobs were claimed that had been due for so long, in seconds."""
        self._wait.observe_all(_forward(waits), self.queue(queue))

    def settled(self, type_: str, durations: list[float]) -> None:
        """Attempts came to a verdict after so many seconds each."""
        self._run.observe_all(_forward(durations), self.type(type_))

    def delivered(self, outcome: str) -> None:
        """An attempt of a webhook job has ended."""
        self._webhooks.add(1, outcome)

    def finished(self, queue: str, type_: str, outcome: str, n: int) -> None:
        """`n` jobs came to a final state."""
        label = self.queue(queue)
        self._finished.add(n, label, self.type(type_), outcome)
        self._rates.add(n, label)

    def rescued(self, n: int) -> None:
        """`n` jobs were taken from workers that are gone."""
        self._rescues.add(n)

    def committed(self, seconds: float, calls: int) -> None:
        """A transaction of so many calls is on the disk."""
        self._commit.observe(seconds)
        self._batch.observe(calls)

    def answered(self, method: str, route: str, code: int, seconds: float) -> None:
        """A request got its answer. `route` is one of a bounded set, never a path."""
        self._request.observe(seconds, method if method in _METHODS else OTHER, route, str(code))

    def lagged(self, seconds: float) -> None:
        """The event loop was late by this much."""
        self._lag.observe(seconds)

    # ── how it stands ─────────────────────────────────────────────────────────────────────────

    def counts(self) -> Mapping[Family, dict[Labels, float]]:
        """A copy of every counter."""
        return {
            families.ENQUEUED: dict(self._enqueued.values),
            families.FINISHED: dict(self._finished.values),
            families.RESCUES: dict(self._rescues.values),
            families.WEBHOOKS: dict(self._webhooks.values),
        }

    def rate(self, queue: str) -> float:
        """How many of its jobs have ended a second, over the last minute."""
        return self._rates.of(queue if queue in self._queues else OTHER)

    def distributions(self) -> Mapping[Family, dict[Labels, Distribution]]:
        """A copy of every histogram."""
        return {
            families.RUN: self._run.distributions(),
            families.WAIT: self._wait.distributions(),
            families.REQUEST: self._request.distributions(),
            families.COMMIT: self._commit.distributions(),
            families.BATCH: self._batch.distributions(),
            families.LAG: self._lag.distributions(),
        }


def _forward(seconds: list[float]) -> list[float]:
    """The wall clock may be set back meanwhile; nothing takes less than no time."""
    return seconds if min(seconds) >= 0 else [max(one, 0.0) for one in seconds]
