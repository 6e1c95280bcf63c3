"""What a caller may ask of the queue. Nothing here knows of HTTP, and nothing runs a job."""

from .bulk import BulkAction, BulkProgress, BulkReport, silent
from .desk import Placed
from .filters import is_path
from .order import Order
from .service import Service
from .watch import Subscription, Watch
from .why import OTHERS, Hands, Obstacle, Why

__all__ = [
    "OTHERS",
    "BulkAction",
    "BulkProgress",
    "BulkReport",
    "Hands",
    "Obstacle",
    "Order",
    "Placed",
    "Service",
    "Subscription",
    "Watch",
    "Why",
    "is_path",
    "silent",
]
