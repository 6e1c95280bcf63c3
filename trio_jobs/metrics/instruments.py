"""What counts: numbers that grow, by labels. A few hundred nanoseconds a call, and no locks: all
calls come from the event loop.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

Labels = tuple[str, ...]

FEW = 8  # values from which sorting them is cheaper than finding the bucket of each


class Counter:
    """A number for each combination of labels."""

    def __init__(self) -> None:
        self.values: dict[Labels, float] = {}

    def add(self, n: float, *labels: str) -> None:
        self.values[labels] = self.values.get(labels, 0) + n


class Distribution(NamedTuple):
    """How many values were at most each bound, one after another; the last is how many in all."""

    cumulative: list[int]
    sum: float


class _Series:
    __slots__ = ("counts", "sum")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.sum = 0.0


class Histogram:
    """How values spread over buckets, for each combination of labels.

    `bounds` are the upper ends of the buckets, which belong to them, smallest first; one more
    bucket takes what is beyond.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._series: dict[Labels, _Series] = {}

    def observe(self, value: float, *labels: str) -> None:
        series = self._of(labels)
        series.counts[bisect_left(self._bounds, value)] += 1
        series.sum += value

    def observe_all(self, values: list[float], *labels: str) -> None:
        """The same for many; sorts them."""
        if len(values) < FEW:
            for value in values:
                self.observe(value, *labels)
            return
        values.sort()
        series = self._of(labels)
        below = 0
        for at, bound in enumerate(self._bounds):
            upto = bisect_right(values, bound, below)
            series.counts[at] += upto - below
            if upto == len(values):
                break
            below = upto
        else:
            series.counts[-1] += len(values) - below
        series.sum += sum(values)

    def distributions(self) -> dict[Labels, Distribution]:
        """A copy of how things stand."""
        return {labels: _distribution(series) for labels, series in self._series.items()}

    def _of(self, labels: Labels) -> _Series:
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = _Series(len(self._bounds) + 1)
        return series


def _distribution(series: _Series) -> Distribution:
    return Distribution(list(accumulate(series.counts)), series.sum)
