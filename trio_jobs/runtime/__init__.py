"""The one nursery: the store, workers, upkeep, HTTP, and the way down when a signal comes."""

from .parts import Parts
from .runtime import Runtime, exit_code, reasons
from .tokens import demand_tokens

__all__ = ["Parts", "Runtime", "demand_tokens", "exit_code", "reasons"]
