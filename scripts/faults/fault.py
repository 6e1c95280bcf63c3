"""What a fault is: a function that injects it, between what it says and what is promised."""

from collections.abc import Callable
from dataclasses import dataclass

from .stage import Stage


@dataclass(frozen=True)
class Fault:
    """`run(stage)` injects it and returns what was seen; it raises Broken or Skipped instead.

    A `quick` one takes a second or two and needs nothing but the service.
    """

    name: str
    injected: str
    promised: str
    run: Callable[[Stage], str]
    quick: bool


def fault(
    injected: str, promised: str, *, quick: bool = False
) -> Callable[[Callable[[Stage], str]], Fault]:
    """Makes a function a fault of that name."""

    def make(run: Callable[[Stage], str]) -> Fault:
        return Fault(run.__name__.replace("_", "-"), injected, promised, run, quick)

    return make
