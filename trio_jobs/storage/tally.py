"""What a transaction did, for the metrics: jobs that came, that started, and that ended.

Counted when it is on the disk, not where somebody asked: a caller may have gone by then, a second
request may get a job that was there before, and a verdict may come too late. So the numbers are
those of the rows.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from operator import attrgetter

from ..metrics import Metrics
from .enqueue import Enqueue
from .records import Claimed, Enqueued, NewJob
from .write import Committed, Write
from .writes import Claim

_kind = attrgetter("queue", "type")


def tally(metrics: Metrics, writes: Sequence[Write], committed: Committed) -> None:
    """Counts it all, a batch at a time."""
    metrics.committed(committed.seconds, len(writes))
    for queue, type_, state, n in committed.ended:
        metrics.finished(queue, type_, state, n)
    _new(metrics, committed.callbacks)
    for write, answer in zip(writes, committed.answers, strict=True):
        if isinstance(write, Enqueue):
            if isinstance(answer, Enqueued) and not answer.replayed:
                _came(metrics, write, answer)
        elif isinstance(write, Claim):
            _started(metrics, answer)


def _came(metrics: Metrics, write: Enqueue, answer: Enqueued) -> None:
    new = write.jobs
    if len(new) == 1:
        if new[0].id == answer.ids[0]:
            metrics.enqueued(new[0].queue, new[0].type, 1)
        return
    if answer.ids != [job.id for job in new]:
        new = [job for job, id_ in zip(new, answer.ids, strict=True) if job.id == id_]
    _new(metrics, new)


def _new(metrics: Metrics, jobs: Sequence[NewJob]) -> None:
    for (queue, type_), n in Counter(map(_kind, jobs)).items():
        metrics.enqueued(queue, type_, n)


def _started(metrics: Metrics, jobs: Sequence[Claimed]) -> None:
    waits: defaultdict[str, list[float]] = defaultdict(list)
    for job in jobs:
        waits[job.queue].append(job.started_at - job.run_at)
    for queue, seconds in waits.items():
        metrics.started(queue, seconds)
