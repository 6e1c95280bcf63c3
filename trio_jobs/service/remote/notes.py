"""What an attempt elsewhere says, as it is kept: without secrets, and not too much of it."""

from ...executor.description import MAX_MESSAGE, MAX_NAME
from ...executor.diary import MAX_LINES, MAX_LOGGED
from ...storage.records import Lease, LogLine, Progress, Report
from ...storage.remote import Standing
from ...texts import Redact, shortened
from .asks import Words


def notes(lease: Lease, words: Words, job: Standing, now: float, redact: Redact) -> Report:
    """As for our own: an attempt may log so many lines, and so many characters."""
    lines: list[LogLine] = []
    left, room = MAX_LINES - job.lines, MAX_LOGGED - job.logged
    for level, said in words.logs:
        message = shortened(said, MAX_MESSAGE, redact)
        room -= len(message)
        if len(lines) == left or room < 0:
            if left > 0:  # else it was said before
                kept = min(len(lines), left - 1)
                lost = f"… {len(words.logs) - kept:,} more lines, not kept"
                lines[kept:] = [LogLine(now, "WARNING", lost, job.attempt)]
            break
        lines.append(LogLine(now, shortened(level, MAX_NAME), message, job.attempt))
    return Report(lease.id, lease.token, _progress(words.progress, redact), lines, words.saved)


def _progress(progress: Progress | None, redact: Redact) -> Progress | None:
    if progress is None or progress.note is None:
        return progress
    note = shortened(progress.note, MAX_NAME, redact)
    return Progress(progress.done, progress.total, note)
