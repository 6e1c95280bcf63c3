"""How long to wait before the next attempt.

The default is n^4 + 15 seconds after the n-th failed attempt: 16 s, 31 s, 96 s, 271 s, 640 s …
(Sidekiq's formula; quick at first, patient later), plus or minus 10 % so that jobs that failed
together do not come back together, and never more than a day.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

DAY = 86_400.0
LONGEST = 365 * DAY
MAX_LIST = 100

_CURVES: dict[str, Callable[[float, float, int], float]] = {
    "power": lambda base, _, n: base + float(n**4),
    "exponential": lambda base, factor, n: base * float(factor) ** (n - 1),
    "linear": lambda base, _, n: base * n,
    "fixed": lambda base, _, n: base,
}
KINDS = tuple(_CURVES)
_BASE = {"power": 15.0, "exponential": 5.0, "linear": 30.0, "fixed": 30.0}


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds to wait after the n-th failed attempt, by `kind`:

    - `power`: base + n^4
    - `exponential`: base * factor^(n-1)
    - `linear`: base * n
    - `fixed`: base
    - `list`: the n-th of `delays`; the last of them from then on

    `jitter` is the fraction (0 to 1) by which the wait may differ either way; `cap` is the longest.
    """

    kind: str = "power"
    base: float = _BASE["power"]
    factor: float = 2.0
    delays: tuple[float, ...] = ()
    jitter: float = 0.10
    cap: float = DAY

    def seconds(self, attempt: int, uniform: float | None = None) -> float:
        """`uniform` in [0, 1) replaces the dice, for tests."""
        dice = random.random() if uniform is None else uniform  # noqa: S311 - jitter, no secret
        try:
            wait = min(self._wait(attempt), self.cap)
        except OverflowError:  # a steep curve, many attempts: certainly more than the cap
            wait = self.cap
        return min(wait * (1 + self.jitter * (2 * dice - 1)), self.cap)

    def _wait(self, attempt: int) -> float:
        if self.kind == "list":
            return self.delays[min(attempt, len(self.delays)) - 1]
        return _CURVES[self.kind](self.base, self.factor, attempt)

    @classmethod
    def of(cls, wish: Any) -> "Backoff":
        """What a job asks for: a kind by its name, a list of seconds (no jitter), or an object.

        The object has `kind` and, all optional, `base`, `factor`, `jitter`, `cap`; or `delays` in
        place of a kind. Raises ValueError with a sentence.
        """
        if isinstance(wish, str):
            wish = {"kind": wish}
        elif isinstance(wish, (list, tuple)):
            wish = {"delays": wish, "jitter": 0.0}
        if not isinstance(wish, Mapping):
            raise ValueError("it is a name, a list of seconds or an object")  # noqa: TRY004
        unknown = wish.keys() - {"kind", "base", "factor", "delays", "jitter", "cap"}
        if unknown:
            raise ValueError(f"{min(unknown)!r} is not known: kind, base, factor, jitter, cap")
        if "delays" in wish:
            return cls._of_list(wish)
        kind = wish.get("kind", "exponential")
        if not isinstance(kind, str) or kind not in _CURVES:
            raise ValueError(f"kind is one of {', '.join(_CURVES)}")
        return cls(
            kind=kind,
            base=_number(wish, "base", _BASE[kind], 0.0, LONGEST),
            factor=_number(wish, "factor", 2.0, 1.0, 1_000.0),
            jitter=_number(wish, "jitter", 0.10, 0.0, 1.0),
            cap=_number(wish, "cap", DAY, 0.0, LONGEST),
        )

    @classmethod
    def _of_list(cls, wish: Mapping[str, Any]) -> "Backoff":
        delays = wish["delays"]
        if wish.get("kind", "list") != "list":
            raise ValueError("delays take the place of a kind")
        if not isinstance(delays, (list, tuple)) or not 1 <= len(delays) <= MAX_LIST:
            raise ValueError(f"a list has 1 to {MAX_LIST} numbers of seconds")
        numbers = {str(at): delay for at, delay in enumerate(delays)}
        return cls(
            kind="list",
            delays=tuple(_number(numbers, at, 0.0, 0.0, LONGEST) for at in numbers),
            jitter=_number(wish, "jitter", 0.10, 0.0, 1.0),
            cap=_number(wish, "cap", LONGEST, 0.0, LONGEST),
        )


def _number(wish: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = wish.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{name} is a number from {low:g} to {high:,.0f}")
    return float(value)
