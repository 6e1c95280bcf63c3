"""Handlers in Python: `Jobs`, what its decorator makes, and what an enqueue gives."""

from .handle import Handle
from .job_type import JobType, Options
from .jobs import Jobs, with_keep

__all__ = ["Handle", "JobType", "Jobs", "Options", "with_keep"]
