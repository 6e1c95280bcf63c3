"""Texts of a user's code on their way to where they are kept: safe to ask for, and not too long."""

import traceback

from ..job import Error

MAX_NAME = 200
MAX_MESSAGE = 4_000
MAX_TRACEBACK = 64_000


def describe(error: BaseException) -> Error:
    """An exception as text, whatever it does when asked for it; long texts lose their middle."""
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
        shortened(message, MAX_MESSAGE),
        shortened(trace, MAX_TRACEBACK),
    )


def shortened(text: str, limit: int) -> str:
    """`text`, without its middle when it has more than `limit` characters."""
    # Lone surrogates cannot be stored as UTF-8; nothing of a user's error may fail to be kept.
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - limit:,} characters left out …\n{text[-half:]}"
