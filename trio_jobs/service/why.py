"""Why a job is not running."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from ..clock import to_rfc3339
from ..job import CRASHES_ALLOWED, Reason, State
from ..storage.base import Store
from ..storage.records import Job
from ..storage.watching import QueueInfo
from .grant import OTHERS

MOST_COUNTED = 10_000


class Hands(NamedTuple):
    """What the worker of this process takes: types, and jobs at a time of each queue.

    `limits` has "*" for all queues together that it does not name; `running` is by queue. A process
    that runs no jobs has none of these.
    """

    types: Collection[str] = ()
    limits: Mapping[str, int] = {}
    running: Mapping[str, int] = {}
    last_chance: str | None = None  # the job of which one more crash would be the last
    stuck: int = 0  # attempts that ignore their cancellation; their slots have been replaced
    elsewhere: bool = False  # is there a worker elsewhere that takes the job in question?

    @property
    def slots(self) -> int:
        """Jobs at a time, over all queues."""
        return sum(self.limits.values())

    @property
    def busy(self) -> int:
        """Jobs that run."""
        return sum(self.running.values())

    def free(self, queue: str) -> tuple[str, int, int]:
        """The limit that holds for a queue: its name, how many run under it, how many may."""
        if queue in self.limits:
            return queue, self.running.get(queue, 0), self.limits[queue]
        others = sum(n for name, n in self.running.items() if name not in self.limits)
        return OTHERS, others, self.limits.get(OTHERS, 0)


AskHands = Callable[[], Hands | None]
"""None: this process cannot know who works on the queue."""


class Obstacle(NamedTuple):
    """One thing that stands in the way; `detail` is a sentence."""

    code: str
    detail: str


class Why(NamedTuple):
    """A job and all that keeps it from running now; nothing does when `reasons` is empty."""

    job: Job
    reasons: list[Obstacle]


async def why(job: Job, store: Store, *, now: float, hands: Hands | None, draining: bool) -> Why:
    """Everything that keeps `job` from running, the most telling first."""
    if job.state is State.RUNNING or job.state.final:
        return Why(job, [Obstacle("not_waiting", _not_waiting(job))])
    reasons = []
    if job.state is State.WAITING:
        reasons.append(Obstacle("waiting", "It waits for other jobs to be done."))
    if job.state is State.SCHEDULED:
        reasons.append(_scheduled(job, now))
    queues = {queue.name: queue for queue in await store.queues()}
    if (paused := _paused(job, queues)) is not None:
        reasons.append(paused)
    if (full := _full(job, queues)) is not None:
        reasons.append(full)
    if draining:
        reasons.append(Obstacle("draining", "The service is stopping and starts no more jobs."))
    if hands is not None:
        reasons += _hands(job, hands)
        if hands.last_chance is not None and job.reason == Reason.LEASE_LOST:
            reasons += await _last_chance(job, store, hands.last_chance)
    if job.state is State.QUEUED:
        reasons += await _behind(job, store)
    return Why(job, reasons)


def _not_waiting(job: Job) -> str:
    if job.state is not State.RUNNING:
        reason = f" ({job.reason})" if job.reason else ""
        return f"It has ended: it is {job.state}{reason}."
    if job.cancel_requested_at is not None:
        return "It is running, and was asked to stop."
    return f"It is running, attempt {job.attempt} of {job.max_attempts}."


def _scheduled(job: Job, now: float) -> Obstacle:
    if job.run_at <= now:
        return Obstacle("scheduled", "It has just become due and joins its queue in a moment.")
    when = f"at {to_rfc3339(job.run_at)}, in {_span(job.run_at - now)}"
    if job.reason == Reason.SNOOZED:
        return Obstacle("snoozed", f"It asked to be run again {when}.")
    if job.reason in (Reason.RETRY, Reason.TIMEOUT):
        tried = f"Attempt {job.attempt} of {job.max_attempts} failed"
        return Obstacle("retry", f"{tried}; the next one is {when}.")
    return Obstacle("scheduled", f"It is due {when}.")


def _paused(job: Job, queues: Mapping[str, QueueInfo]) -> Obstacle | None:
    queue = queues.get(job.queue)
    if queue is None or queue.paused_at is None:
        return None
    since = to_rfc3339(queue.paused_at)
    return Obstacle("queue_paused", f"Its queue, {job.queue}, is paused since {since}.")


def _full(job: Job, queues: Mapping[str, QueueInfo]) -> Obstacle | None:
    queue = queues.get(job.queue)
    if queue is None or queue.limit is None or job.state is not State.QUEUED:
        return None
    running = queue.counts.get(State.RUNNING, 0)
    if running < queue.limit:
        return None
    detail = f"Of its queue, {job.queue}, as many jobs run as may: {running} of {queue.limit}."
    return Obstacle("limit_reached", detail)


def _hands(job: Job, hands: Hands) -> list[Obstacle]:
    if hands.elsewhere:
        return []
    if not hands.limits:
        return [Obstacle("no_worker", "This process runs no jobs (--no-worker); another must.")]
    if job.type not in hands.types:
        detail = (
            f"The worker of this process has no handler {job.type}, and none elsewhere has asked "
            "for such jobs lately."
        )
        return [Obstacle("no_worker", detail)]
    name, running, most = hands.free(job.queue)
    if most == 0:
        serves = ", ".join(sorted(hands.limits))
        return [
            Obstacle(
                "no_worker",
                f"The worker of this process serves the queues {serves}, not {job.queue}.",
            )
        ]
    if running < most or job.state is not State.QUEUED:
        return []
    what = "as many jobs" if name == OTHERS else f"as many jobs of the queue {name}"
    detail = f"This process runs {what} as it may: {running} of {most}."
    return [Obstacle("limit_reached", detail)]


async def _last_chance(job: Job, store: Store, other: str) -> list[Obstacle]:
    attempts = await store.attempts(job.id)
    crashes = sum(attempt.outcome == Reason.LEASE_LOST for attempt in attempts)
    if crashes < CRASHES_ALLOWED - 1:
        return []
    detail = (
        f"It ran when its worker died, {crashes} times; such jobs run one at a time, now {other}."
    )
    return [Obstacle("last_chance", detail)]


async def _behind(job: Job, store: Store) -> list[Obstacle]:
    n = await store.ahead(job.id, MOST_COUNTED)
    if n == 0:
        return []
    others = "1 other job" if n == 1 else f"{n:,} other jobs"
    more = "At least " if n == MOST_COUNTED else ""
    return [Obstacle("behind", f"{more}{others} of its queue, {job.queue}, come first.")]


def _span(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
