"""What a process counts and times, in plain numbers. `families` is the list of it all.

Nothing here knows of Prometheus but the names: `http.metrics` writes its format.
"""

from . import families
from .families import FAMILIES, OTHER, Family
from .instruments import Counter, Distribution, Histogram, Labels
from .metrics import WEBHOOK, Metrics

__all__ = [
    "FAMILIES",
    "OTHER",
    "WEBHOOK",
    "Counter",
    "Distribution",
    "Family",
    "Histogram",
    "Labels",
    "Metrics",
    "families",
]
