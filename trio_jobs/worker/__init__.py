"""Runs jobs: claim -> channel -> run -> settle."""

from .worker import Worker

__all__ = ["Worker"]
