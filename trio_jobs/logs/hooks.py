"""What Python itself would print on stderr, past any log: it goes to the log as well.

That is exceptions that nobody can catch (in a finalizer, in a thread) and warnings.
"""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)


@contextmanager
def hooked() -> Iterator[None]:
    """Inside, they are logged."""
    before = sys.unraisablehook, threading.excepthook
    sys.unraisablehook, threading.excepthook = _unraisable, _in_thread
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        sys.unraisablehook, threading.excepthook = before


def _unraisable(found: Any) -> None:
    log.error("%s", found.err_msg or "an exception was ignored", exc_info=found.exc_value)


def _in_thread(found: Any) -> None:
    if found.exc_type is not SystemExit:
        name = found.thread.name if found.thread is not None else "a thread"
        log.error("the thread %r has failed", name, exc_info=found.exc_value)
