"""How many a second, over the last minute."""

from time import monotonic

WINDOW = 60  # seconds


class Rates:
    """For each name, a ring of a minute's seconds. Names must be few."""

    def __init__(self) -> None:
        self._born = monotonic()
        self._rings: dict[str, list[tuple[int, int]]] = {}  # (second, how many in it)

    def add(self, n: int, name: str) -> None:
        """`n` more, now."""
        second = int(monotonic())
        ring = self._rings.setdefault(name, [(0, 0)] * WINDOW)
        then, before = ring[second % WINDOW]
        ring[second % WINDOW] = (second, before + n if then == second else n)

    def of(self, name: str) -> float:
        """A second; younger than a minute, it looks at its life so far."""
        now = monotonic()
        recent = sum(n for second, n in self._rings.get(name, ()) if second > now - WINDOW)
        return recent / max(1.0, min(WINDOW, now - self._born))
