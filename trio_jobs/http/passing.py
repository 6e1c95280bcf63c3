"""Jobs as those see them who leaf through lists or listen to events: without their secrets."""

from msgspec import UNSET, Raw

from ..redaction import Redactor
from ..storage.records import Job, Progress
from ..storage.watching import AttemptRecord
from . import views


def job_in_passing(
    job: Job, redactor: Redactor, include: frozenset[str] = frozenset()
) -> views.JobView:
    """`job` as one of a list: whoever leafs through jobs is not shown the secrets in them.

    `include` has names of views.BODIES; of those, what is not JSON (an upload) is null. What was
    stored is shown where a job is asked for by its id, and where it has just been made: see
    `views.view`.
    """
    shown = views.view(job, include)
    hide = redactor.text
    shown.error = _error(shown.error, redactor)
    shown.progress = progress_in_passing(shown.progress, redactor)
    shown.tags = [hide(tag) for tag in shown.tags]
    if shown.unique_key is not None:
        shown.unique_key = hide(shown.unique_key)
    payload, result = _hidden(job.payload_text, redactor), _hidden(job.result_text, redactor)
    if "payload" in include:
        shown.payload = payload
    if "result" in include:
        shown.result = result
    if shown.input is not UNSET and payload is not None:
        shown.input = Raw(payload)
    if shown.output is not UNSET and result is not None:
        shown.output = Raw(result)
    if shown.params is not UNSET:
        shown.params = redactor.json(shown.params)
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


def _hidden(text: str | None, redactor: Redactor) -> bytes | None:
    return None if text is None else redactor.json_text(text).encode()
