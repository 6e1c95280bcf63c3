"""How long the records of finished jobs are kept."""

from collections.abc import Iterable
from math import inf

from .durations import parse_duration
from .job import State

_FINAL = [state for state in State if state.final]
DEFAULT = ("done=24h", "cancelled=24h", "failed=7d")


class Retention:
    """Rules such as `done=24h`, `failed=forever` or, for one type, `webhook.done=0`.

    A rule for a type goes before the rule for its state; states without a rule keep their default
    (24 h; failed: 7 days). 0 keeps nothing. Raises ValueError with a sentence.
    """

    def __init__(self, rules: Iterable[str] = ()) -> None:
        self._rules: dict[tuple[str | None, State], float] = {}
        for rule in (*DEFAULT, *rules):
            what, equals, text = rule.partition("=")
            type_, _, state = what.strip().rpartition(".")
            if not equals or state not in _FINAL:
                states = ", ".join(_FINAL)
                raise ValueError(f"{rule!r} is not STATE=TIME or TYPE.STATE=TIME ({states})")
            self._rules[type_ or None, State(state)] = _seconds(text.strip(), rule)

    def seconds(self, type_: str, state: State) -> float:
        """How long after its end a job is kept; `inf` for ever."""
        default = self._rules[None, state]
        return self._rules.get((type_, state), default)

    @property
    def shortest(self) -> float:
        """The least of all rules, in seconds."""
        return min(self._rules.values())

    def cutoffs(self, now: float) -> list[tuple[str | None, State, float]]:
        """(type or None for all others, state, what finished up to here may go)."""
        return [
            (type_, state, -1.0 if seconds == inf else now - seconds)
            for (type_, state), seconds in self._rules.items()
        ]


def _seconds(text: str, rule: str) -> float:
    if text == "forever":
        return inf
    try:
        return parse_duration(text)
    except ValueError:
        raise ValueError(f"{rule!r}: the time is like 90, 5m, 24h, 7d, 0 or forever") from None
