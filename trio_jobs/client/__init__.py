"""Jobs from Python, over HTTP: Client for Trio, SyncClient for everybody else."""

from .bulk import BulkReport
from .client import Client
from .errors import (
    ApiError,
    ClientError,
    Conflict,
    Fault,
    Forbidden,
    Invalid,
    JobFailed,
    Malformed,
    NotFound,
    Outdated,
    Problem,
    ServerFailed,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from .events import Event, LogLine
from .house import JobType, Queue, Worker
from .job import Job, JobError, Progress
from .lines import LineError, Report
from .options import Changes, Options
from .reading import Filter
from .sync_client import SyncClient

__all__ = [
    "ApiError",
    "BulkReport",
    "Changes",
    "Client",
    "ClientError",
    "Conflict",
    "Event",
    "Fault",
    "Filter",
    "Forbidden",
    "Invalid",
    "Job",
    "JobError",
    "JobFailed",
    "JobType",
    "LineError",
    "LogLine",
    "Malformed",
    "NotFound",
    "Options",
    "Outdated",
    "Problem",
    "Progress",
    "Queue",
    "Report",
    "ServerFailed",
    "SyncClient",
    "TimedOut",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "Worker",
]
