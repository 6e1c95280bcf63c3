"""Every metric by name, by Prometheus' conventions: base units, and never an id as a label.

Labels are bounded. A `type` without a handler here is `other`, and so is a `queue` beyond the first
hundred names, a `route` that is none of ours, and a `method` that HTTP does not know.
"""

from typing import Literal, NamedTuple

OTHER = "other"

Kind = Literal["counter", "gauge", "histogram", "info"]

_RUN = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600)
_WAIT = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 900, 3_600, 21_600)
_REQUEST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_COMMIT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1_024)
_LAG = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Family(NamedTuple):
    """A metric by name and meaning; `bounds` are the upper ends of a histogram's buckets."""

    name: str
    kind: Kind
    about: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


ENQUEUED = Family(
    "trio_jobs_enqueued_total", "counter", "Jobs stored by this process.", ("queue", "type")
)
FINISHED = Family(
    "trio_jobs_finished_total",
    "counter",
    "Jobs that this process has seen to their end; outcome is done, failed or cancelled.",
    ("queue", "type", "outcome"),
)
RUN = Family(
    "trio_jobs_run_duration_seconds",
    "histogram",
    "Time from an attempt's claim to its verdict, whatever that was.",
    ("type",),
    _RUN,
)
WAIT = Family(
    "trio_jobs_wait_duration_seconds",
    "histogram",
    "Time from when a job was due to its start.",
    ("queue",),
    _WAIT,
)
QUEUE_JOBS = Family("trio_jobs_queue_jobs", "gauge", "Jobs in the database.", ("queue", "state"))
QUEUE_LATENCY = Family(
    "trio_jobs_queue_latency_seconds",
    "gauge",
    "Age of the oldest job that is due: what to alert on, and to scale by.",
    ("queue",),
)
QUEUE_PAUSED = Family("trio_jobs_queue_paused", "gauge", "1 while the queue is paused.", ("queue",))
WORKERS = Family("trio_jobs_workers", "gauge", "Workers in this process: 1, or 0 without.")
SLOTS = Family(
    "trio_jobs_worker_slots",
    "gauge",
    "Jobs that the worker runs (busy), could run beside them (idle), or cannot stop (stuck).",
    ("state",),
)
RESCUES = Family(
    "trio_jobs_rescues_total",
    "counter",
    "Jobs whose worker died or fell silent: queued again, or quarantined as poison.",
)
WEBHOOKS = Family(
    "trio_jobs_webhook_deliveries_total",
    "counter",
    "Attempts of webhook jobs; outcome is done, retry, permanent, timeout, or what else ended it.",
    ("outcome",),
)
REQUEST = Family(
    "trio_jobs_http_request_duration_seconds",
    "histogram",
    "Time from a request's head to the end of its answer; waits and event streams take theirs.",
    ("method", "route", "code"),
    _REQUEST,
)
COMMIT = Family(
    "trio_jobs_store_commit_duration_seconds",
    "histogram",
    "Time that a write transaction takes, its fsync included.",
    (),
    _COMMIT,
)
BATCH = Family(
    "trio_jobs_store_batch_size",
    "histogram",
    "Calls that were written in one transaction.",
    (),
    _BATCH,
)
LAG = Family(
    "trio_jobs_event_loop_lag_seconds",
    "histogram",
    "How late the event loop wakes a task, looked at four times a second.",
    (),
    _LAG,
)
BUILD = Family("trio_jobs_build_info", "info", "What runs here.", ("version", "python"))

FAMILIES = (
    ENQUEUED, FINISHED, RUN, WAIT, QUEUE_JOBS, QUEUE_LATENCY, QUEUE_PAUSED, WORKERS, SLOTS, RESCUES,
    WEBHOOKS, REQUEST, COMMIT, BATCH, LAG, BUILD,
)  # fmt: skip
"""All of them, in the order in which they are shown."""
