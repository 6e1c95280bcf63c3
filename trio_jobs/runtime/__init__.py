"""The one nursery: the store, workers, upkeep, HTTP, and the way down when a signal comes."""

from .runtime import Runtime, exit_code, reasons

__all__ = ["Runtime", "exit_code", "reasons"]
