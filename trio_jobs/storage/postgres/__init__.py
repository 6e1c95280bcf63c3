"""The PostgreSQL store. `PostgresStore` is all there is to see from outside."""

from .store import PostgresStore

__all__ = ["PostgresStore"]
