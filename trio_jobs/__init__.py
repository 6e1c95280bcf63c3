"""A durable job queue with an HTTP API and workers, in one process, on Trio.

The names of `__all__` are imported when they are first used; `__init__.pyi` has their types.
"""

from importlib import import_module
from importlib.metadata import version

__version__ = version("trio-jobs")

_NAMES = {
    "Cancel": ".errors",
    "Client": ".client",
    "Ctx": ".registry",
    "Fail": ".errors",
    "Handle": ".app",
    "JobFailed": ".errors",
    "Jobs": ".app",
    "Retry": ".errors",
    "Settings": ".config",
    "Snooze": ".errors",
    "SyncClient": ".client",
    "TimedOut": ".errors",
}

__all__ = sorted([*_NAMES, "__version__"])


def __getattr__(name: str) -> object:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_NAMES[name], __name__), name)
    return value
