"""Handlers in Python at work anywhere, with nothing but HTTP between them and the service."""

from .at_work import work_at
from .store import RemoteStore

__all__ = ["RemoteStore", "work_at"]
