"""What running jobs say meanwhile: progress and log lines, on their way to the store."""

import logging

import trio

from .. import clock
from ..errors import Unavailable
from ..executor import Attempt
from ..storage.base import Store
from ..storage.records import Claimed, LogLine, Progress, Report
from .running import Running

log = logging.getLogger(__name__)

EVERY = 0.5  # seconds


class Reporter:
    """Writes what is new, twice a second, all jobs in one go. Nothing to say costs nothing."""

    def __init__(self, store: Store, running: Running, *, now: clock.Now) -> None:
        self._store = store
        self._running = running
        self._now = now

    async def run(self) -> None:
        while True:
            await self._running.wait_for_some()
            await trio.sleep(EVERY)
            found = (self._new(job, attempt) for job, attempt in self._running)
            reports = [report for report in found if report is not None]
            while reports:
                try:
                    await self._store.report(reports, self._now())
                except Unavailable as error:
                    log.warning("cannot write what %d jobs say: %s", len(reports), error)
                    await trio.sleep(EVERY)
                else:
                    break

    def last_words(self, job: Claimed, attempt: Attempt) -> Report | None:
        """What is new at the end of an attempt; it travels with the verdict."""
        report = self._new(job, attempt)
        if attempt.diary is None or not attempt.diary.lines_lost:
            return report
        lost = f"… {attempt.diary.lines_lost:,} more lines, not kept"
        line = LogLine(self._now(), "WARNING", lost, job.attempt)
        if report is None:
            return Report(job.id, job.lease_token, None, [line])
        report.logs.append(line)
        return report

    @staticmethod
    def _new(job: Claimed, attempt: Attempt) -> Report | None:
        if attempt.diary is None:
            return None
        step, lines = attempt.diary.take()
        if step is None and not lines:
            return None
        progress = None if step is None else Progress(*step)
        logs = [LogLine(*line, job.attempt) for line in lines]
        return Report(job.id, job.lease_token, progress, logs)
