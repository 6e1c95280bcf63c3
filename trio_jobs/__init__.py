"""A durable job queue with an HTTP API and workers, in one process, on Trio.

The names of `__all__` are imported when they are first used; `__init__.pyi` has their types.
"""

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
    if name == "__version__":
        from importlib.metadata import version  # 20 ms, most of it for email and zipfile

        value: object = version("trio-jobs")
    elif name in _NAMES:
        from importlib import import_module

        value = getattr(import_module(_NAMES[name], __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
