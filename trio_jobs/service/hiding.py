"""Jobs without their secrets: for those who see them in lists, in events, or are called back.

What was stored is shown where a job is asked for by its id, and where it has just been made.
"""

from typing import Any

import msgspec

from ..redaction import Redactor
from ..storage.records import Error, Job, Progress


def hide_in_job(job: Job, redactor: Redactor, *, bodies: bool) -> Job:
    """`job` with nothing secret in it. Its `bodies` stay as they are when nobody will see them."""
    changes: dict[str, Any] = {
        "error": hide_in_error(job.error, redactor),
        "progress": hide_in_progress(job.progress, redactor),
        "tags": [redactor.text(tag) for tag in job.tags],
        "unique_key": _text(job.unique_key, redactor),
    }
    if bodies:
        changes |= {
            "payload_text": _json(job.payload_text, redactor),
            "payload_hex": _bytes(job.payload_hex, redactor),
            "result_text": _json(job.result_text, redactor),
            "result_hex": _bytes(job.result_hex, redactor),
            "params": redactor.json(job.params),
            "callback_url": _text(job.callback_url, redactor),
        }
    return msgspec.structs.replace(job, **changes)


def hide_in_error(error: Error | None, redactor: Redactor) -> Error | None:
    if error is None:
        return None
    return Error(error.type, redactor.text(error.message), redactor.text(error.traceback))


def hide_in_progress(progress: Progress | None, redactor: Redactor) -> Progress | None:
    if progress is None or progress.note is None:
        return progress
    return Progress(progress.done, progress.total, redactor.text(progress.note))


def _text(text: str | None, redactor: Redactor) -> str | None:
    return None if text is None else redactor.text(text)


def _json(text: str | None, redactor: Redactor) -> str | None:
    return None if text is None else redactor.json_text(text)


def _bytes(raw_hex: str | None, redactor: Redactor) -> str | None:
    """An upload may be text, or hold some; what is not keeps its bytes."""
    if raw_hex is None:
        return None
    text = bytes.fromhex(raw_hex).decode("latin-1")
    hidden = redactor.text(text)
    return raw_hex if hidden is text else hidden.encode("latin-1").hex()
