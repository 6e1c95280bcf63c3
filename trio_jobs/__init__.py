"""A durable job queue with an HTTP API and workers, in one process, on Trio."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("trio-jobs")
__all__ = ["Client", "SyncClient", "__version__"]


def __getattr__(name: str) -> Any:
    """The clients, once somebody asks for them: whoever does not is spared httpx."""
    if name in ("Client", "SyncClient"):
        return getattr(import_module(".client", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
