"""Was it flat, was it quick, was anything lost?"""

from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from .ledger import Ledger
from .samples import Sample, p99

MAX_LAG_MS = 25.0
MAX_GROWTH = 1.10
MAX_GROWTH_SHORT = 1.3
"""A run of less than LONG has not filled its caches yet."""
LONG = 180  # samples
WARM_UP = 60  # samples in which caches fill; a third of a shorter run, a tenth of a longer one
MAX_503 = 0.01  # of the requests: the database may be busy for a moment
GOOD = ("post", "array", "storm", "unique", "upload")  # kinds of requests that have to be taken


class Measure(NamedTuple):
    """What has to stay flat; `slack` is what such a number may wander in any case, `short` what it
    may besides in a short run."""

    name: str
    title: str
    slack: float
    short: float = 0


FLAT = (
    Measure("memory_mb", "memory, MB", 0),
    Measure("descriptors", "descriptors", 5),
    Measure("threads", "threads", 3),
    Measure("tasks", "Trio tasks", 10),
    # What it is cut to after a long reader; a short run may end while there is one.
    Measure("wal_mb", "WAL, MB", 17, short=43),
)


class Growth(NamedTuple):
    """A measure's medians in the first third after the warm-up, and in the last third."""

    measure: Measure
    first: float
    last: float
    most: float
    allowed: float

    @property
    def is_flat(self) -> bool:
        return self.last <= self.allowed


@dataclass(frozen=True)
class Verdict:
    growths: list[Growth]
    lag_p99_ms: float
    lag_max_ms: float
    faults: list[str] = field(default_factory=list)  # what is wrong, as sentences


def judge(
    samples: list[Sample],
    ledger: Ledger,
    answers: Counter[str],
    unended: list[str],
    exits: list[int | None],
    errors: list[str],
) -> Verdict:
    """`unended` are acknowledged jobs that should have ended by now, `exits` those of the crew,
    `errors` is what else went wrong."""
    lags = [lag for sample in samples for lag in sample.lags_ms]
    growths = [_growth(measure, samples) for measure in FLAT]
    codes = Counter(answer.rpartition(" ")[2] for answer in answers.elements())
    refused = [
        answer for answer in answers if answer.startswith(tuple(f"{kind} 4" for kind in GOOD))
    ]
    failures = sum(count for code, count in codes.items() if code.startswith("5"))
    lag = p99(lags)
    wrong = {
        f"the event loop lags: p99 {lag:.1f} ms": lag > MAX_LAG_MS,
        _named("lost", ledger.lost): ledger.lost,
        _named("ended as they should not", ledger.wrong): ledger.wrong,
        _named("have not ended", unended): unended,
        f"{failures - codes['503']:,} answers are 5xx": failures > codes["503"],
        f"{codes['503']:,} answers are 503": codes["503"] > MAX_503 * codes.total(),
        f"refused: {', '.join(refused)}": refused,
        f"exit codes {exits}": any(exits),
    }
    return Verdict(
        growths,
        lag,
        max(lags, default=0.0),
        [f"{growth.measure.title}: it grows" for growth in growths if not growth.is_flat]
        + [sentence for sentence, is_so in wrong.items() if is_so]
        + errors,
    )


def _growth(measure: Measure, samples: list[Sample]) -> Growth:
    values = [float(getattr(sample, measure.name)) for sample in samples]
    warm = values[max(len(values) // 10, min(WARM_UP, len(values) // 3)) :]
    third = max(1, len(warm) // 3)
    first, last = median(warm[:third]), median(warm[-third:])
    allowed = first * MAX_GROWTH + measure.slack
    if len(samples) < LONG:
        allowed = first * MAX_GROWTH_SHORT + measure.slack + measure.short
    return Growth(measure, first, last, max(values), allowed)


def _named(what: str, jobs: list[str]) -> str:
    more = ", …" if len(jobs) > 5 else ""
    return f"{len(jobs):,} jobs {what}: {', '.join(jobs[:5])}{more}"
