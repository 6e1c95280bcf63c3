"""How many jobs of which type a worker runs at a time."""

from collections import Counter

from ..registry import Registry
from .running import Running


class TypeLimits:
    """What may be claimed, so that no type exceeds its `concurrency`.

    A claim of as many jobs as the scarcest type may still have is right whatever it brings, and
    keeps to the order of priorities. One for the types without a limit follows it, so that the
    hands which the first leaves idle do not wait.
    """

    def __init__(self, registry: Registry, running: Running) -> None:
        self._running = running
        self._types = registry.types
        self._limited = {
            name: handler.type  # which its aliases share one limit under
            for handler in registry
            if handler.concurrency is not None
            for name in (handler.type, *handler.aliases)
        }
        self._most = {h.type: h.concurrency for h in registry if h.concurrency is not None}
        self.unlimited = [name for name in self._types if name not in self._limited]

    def scarcest(self, idle: int) -> tuple[list[str], int]:
        """The types that may run, and how many jobs can be claimed of all of them together."""
        if not self._limited:
            return self._types, idle
        running: Counter[str] = Counter()
        for job, _ in self._running:
            if job.type in self._limited:
                running[self._limited[job.type]] += 1
        free = {type_: most - running[type_] for type_, most in self._most.items()}
        types = [t for t in self._types if t not in self._limited or free[self._limited[t]] > 0]
        return types, min(idle, *(n for n in free.values() if n > 0), idle)

    def __contains__(self, type_: str) -> bool:
        """Does the end of such a job make room for another?"""
        return type_ in self._limited
