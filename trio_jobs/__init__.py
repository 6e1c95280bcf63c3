"""A durable job queue with an HTTP API and workers, in one process, on Trio."""

from importlib.metadata import version

__version__ = version("trio-jobs")
