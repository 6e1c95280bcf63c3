"""The log of the service: one line per event, from any thread, without ever waiting for a reader.

    logging ──▶ LogHandler ──▶ Writer (a bounded queue, a thread) ──▶ stderr

The call to `logging` costs a few microseconds and never blocks; what is slow (hiding secrets,
JSON, the pipe itself) happens in the writer's thread.
"""

from .context import EXTRA, about, about_id, job, request_id
from .handler import LogHandler, installed
from .last_words import say_if_possible
from .record import said
from .writer import Writer

__all__ = [
    "EXTRA",
    "LogHandler",
    "Writer",
    "about",
    "about_id",
    "installed",
    "job",
    "request_id",
    "said",
    "say_if_possible",
]
