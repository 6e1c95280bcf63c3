"""What running jobs say meanwhile: progress and log lines, on their way to the store."""

import logging
from collections.abc import Callable

import trio

from .. import clock
from ..errors import Unavailable
from ..executor.attempt import Attempt
from ..executor.diary import Line, Said
from ..storage.records import Claimed, LogLine, Progress, Report
from ..storage.work import WorkStore
from .running import Running

log = logging.getLogger(__name__)

EVERY = 0.5  # seconds

Taken = tuple[Claimed, Attempt, Said]


class Reporter:
    """Writes what is new, twice a second, all jobs in one go. Nothing to say costs nothing.

    `late(report)` gets what could not be written and whose attempt has ended meanwhile.
    """

    def __init__(
        self, store: WorkStore, running: Running, *, now: clock.Now, late: Callable[[Report], None]
    ) -> None:
        self._store = store
        self._running = running
        self._now = now
        self._late = late

    async def run(self) -> None:
        while True:
            await self._running.wait_for_some()
            await trio.sleep(EVERY)
            taken: list[Taken] = [
                (job, attempt, said)
                for job, attempt in self._running
                if attempt.diary is not None and (said := attempt.diary.take()) is not None
            ]
            if not taken:
                continue
            reports = [_report(job, said) for job, _, said in taken]
            try:
                await self._store.report(reports, self._now())
            except Unavailable as error:
                log.warning("cannot write what %d jobs say: %s", len(taken), error)
                self._take_back(taken)

    def last_words(self, job: Claimed, attempt: Attempt) -> Report | None:
        """What is new at the end of an attempt; it travels with the verdict."""
        if attempt.diary is None:
            return None
        said = attempt.diary.take() or Said(None, [], None)
        if lost := attempt.diary.lines_lost:
            said.lines.append(Line(self._now(), "WARNING", f"… {lost:,} more lines, not kept"))
        return _report(job, said) if any(said) else None

    def _take_back(self, taken: list[Taken]) -> None:
        for job, attempt, said in taken:
            if self._running.attempt(job.lease_token) is None:
                self._late(_report(job, said))
            elif attempt.diary is not None:
                attempt.diary.put_back(said)


def _report(job: Claimed, said: Said) -> Report:
    progress = None if said.step is None else Progress(*said.step)
    logs = [LogLine(*line, job.attempt) for line in said.lines]
    return Report(job.id, job.lease_token, progress, logs, said.saved)
