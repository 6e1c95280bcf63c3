"""The HTTP side: an ASGI app over the service, and the edge that faces the world."""

from .app import create_app
from .edge import serve

__all__ = ["create_app", "serve"]
