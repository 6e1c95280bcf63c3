"""What is measured, each second."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """Of one second; `at` is trio time. Of the serving process, unless it says otherwise."""

    at: float
    memory_mb: float
    descriptors: int
    threads: int
    tasks: int
    wal_mb: float
    database_mb: float
    waiting: int  # jobs that are due
    ended_per_s: float  # jobs, by both processes
    lags_ms: list[float]

    @property
    def lag_p99_ms(self) -> float:
        return p99(self.lags_ms)

    @property
    def lag_max_ms(self) -> float:
        return max(self.lags_ms, default=0.0)


def p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0
