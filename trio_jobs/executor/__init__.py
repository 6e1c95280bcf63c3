"""One attempt of one job, in one cancel scope -> how it ended."""

from .attempt import Attempt
from .description import MAX_MESSAGE, describe
from .diary import Line, Step
from .execution import MAX_WAIT, execute

__all__ = ["MAX_MESSAGE", "MAX_WAIT", "Attempt", "Line", "Step", "describe", "execute"]
