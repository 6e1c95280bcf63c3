"""An exception of a user's code as texts: safe to ask for, without secrets, and not too long."""

import traceback

from ..job import Error
from ..texts import Redact, shortened

MAX_NAME = 200
MAX_MESSAGE = 4_000
MAX_TRACEBACK = 64_000


def describe(error: BaseException, redact: Redact = str) -> Error:
    """An exception as text, whatever it does when asked for it, with nothing in it that `redact`
    takes for a secret; long texts lose their middle."""
    try:
        message = str(error)
    except BaseException:  # it is the user's code that runs here
        message = "(its message cannot be printed)"
    try:
        trace = "".join(traceback.format_exception(error))
    except BaseException:
        trace = ""
    return Error(
        shortened(type(error).__qualname__, MAX_NAME),
        shortened(message, MAX_MESSAGE, redact),
        shortened(trace, MAX_TRACEBACK, redact),
    )
