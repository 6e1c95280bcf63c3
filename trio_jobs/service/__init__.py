"""What a caller may ask of the queue. Nothing here knows of HTTP, and nothing runs a job."""

from .bulk import BulkAction, BulkProgress, BulkReport, silent
from .callbacks import Callbacks
from .desk import Placed
from .filters import is_path
from .grant import ANYBODY, NOBODY, OTHERS, Grant, Scope
from .health import Check
from .order import Checks, Order
from .remote import Working
from .service import Service
from .tokens import Tokens
from .watch import Subscription, Watch
from .why import Hands, Obstacle, Why

__all__ = [
    "ANYBODY",
    "NOBODY",
    "OTHERS",
    "BulkAction",
    "BulkProgress",
    "BulkReport",
    "Callbacks",
    "Check",
    "Checks",
    "Grant",
    "Hands",
    "Obstacle",
    "Order",
    "Placed",
    "Scope",
    "Service",
    "Subscription",
    "Tokens",
    "Watch",
    "Why",
    "Working",
    "is_path",
    "silent",
]
