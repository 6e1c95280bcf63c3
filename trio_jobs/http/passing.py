"""Jobs as those see them who leaf through lists or listen to events: without their secrets."""

import msgspec

from ..redaction import Redactor
from ..storage.records import Job, Progress
from ..storage.watching import AttemptRecord
from . import views


def job_in_passing(
    job: Job, redactor: Redactor, include: frozenset[str] = frozenset()
) -> views.JobView:
    """`job` as one of a list, with those of its bodies that `include` names.

    Whoever leafs through jobs is not shown the secrets in them. What was stored is shown where a
    job is asked for by its id, and where it has just been made: see `views.view`.
    """
    shown = views.view(_without_secrets(job, redactor) if include else job, include)
    shown.error = _error(shown.error, redactor)
    shown.progress = progress_in_passing(shown.progress, redactor)
    shown.tags = [redactor.text(tag) for tag in shown.tags]
    if shown.unique_key is not None:
        shown.unique_key = redactor.text(shown.unique_key)
    return shown


def attempt_in_passing(record: AttemptRecord, redactor: Redactor) -> views.AttemptView:
    shown = views.attempt_view(record)
    shown.error = _error(shown.error, redactor)
    return shown


def progress_in_passing(progress: Progress | None, redactor: Redactor) -> Progress | None:
    if progress is None or progress.note is None:
        return progress
    return Progress(progress.done, progress.total, redactor.text(progress.note))


def _error(error: views.ErrorView | None, redactor: Redactor) -> views.ErrorView | None:
    if error is None:
        return None
    message, traceback = redactor.text(error.message), redactor.text(error.traceback)
    return views.ErrorView(error.type, message, traceback)


def _without_secrets(job: Job, redactor: Redactor) -> Job:
    return msgspec.structs.replace(
        job,
        payload_text=_json(job.payload_text, redactor),
        payload_hex=_bytes(job.payload_hex, redactor),
        result_text=_json(job.result_text, redactor),
        result_hex=_bytes(job.result_hex, redactor),
        params=redactor.json(job.params),
    )


def _json(text: str | None, redactor: Redactor) -> str | None:
    return None if text is None else redactor.json_text(text)


def _bytes(raw_hex: str | None, redactor: Redactor) -> str | None:
    """An upload may be text, or hold some; what is not keeps its bytes."""
    if raw_hex is None:
        return None
    text = bytes.fromhex(raw_hex).decode("latin-1")
    hidden = redactor.text(text)
    return raw_hex if hidden is text else hidden.encode("latin-1").hex()
