"""What a caller may ask of the queue. Nothing here knows of HTTP, and nothing runs a job."""

from .bulk import BulkAction, BulkProgress, BulkReport, silent
from .desk import Placed
from .filters import is_path
from .grant import ANYBODY, Grant, Scope
from .order import Order
from .service import Service
from .watch import Subscription, Watch
from .why import OTHERS, Hands, Obstacle, Why

__all__ = [
    "ANYBODY",
    "OTHERS",
    "BulkAction",
    "BulkProgress",
    "BulkReport",
    "Grant",
    "Hands",
    "Obstacle",
    "Order",
    "Placed",
    "Scope",
    "Service",
    "Subscription",
    "Watch",
    "Why",
    "is_path",
    "silent",
]
