"""What a log record says, safely: neither its arguments nor its exception can raise here."""

import logging
import traceback


def said(record: logging.LogRecord) -> tuple[str, str]:
    """The message, and the traceback and stack that came with it ("" for none)."""
    return _message(record), _traceback(record)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: S110 - its arguments do not fit its text, or cannot be printed
        pass
    try:
        return f"{record.msg!r} (its arguments do not fit)"
    except Exception:
        return "(a line that cannot be printed)"


def _traceback(record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info and record.exc_info[1] is not None:
        try:
            parts.append("".join(traceback.format_exception(record.exc_info[1])).rstrip("\n"))
        except Exception:
            parts.append(f"({type(record.exc_info[1]).__qualname__}, which cannot be printed)")
    elif record.exc_text:
        parts.append(record.exc_text)
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)
