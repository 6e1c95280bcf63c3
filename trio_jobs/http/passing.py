"""Jobs as those see them who leaf through lists or listen to events: without their secrets."""

from msgspec import UNSET, Raw, UnsetType

from ..redaction import Redactor
from ..storage.records import Job, Progress
from ..storage.watching import AttemptRecord
from . import views


def job_in_passing(job: Job, redactor: Redactor, *, bodies: bool = False) -> views.JobView:
    """`job` as one of a list: whoever leafs through jobs is not shown the secrets in them.

    Bodies that are not JSON (uploads) are left out. What was stored is shown where a job is asked
    for by its id, and where it has just been made: see `views.view`.
    """
    shown = views.view(job, bodies=bodies)
    hide = redactor.text
    shown.error = _error(shown.error, redactor)
    shown.progress = progress_in_passing(shown.progress, redactor)
    shown.tags = [hide(tag) for tag in shown.tags]
    if shown.unique_key is not None:
        shown.unique_key = hide(shown.unique_key)
    if bodies:
        shown.payload, shown.input = _body_in_passing(job.payload_text, redactor)
        shown.result, shown.output = _body_in_passing(job.result_text, redactor)
        if job.params:
            shown.params = redactor.json(job.params)
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


def _body_in_passing(text: str | None, redactor: Redactor) -> tuple[bytes | None, Raw | UnsetType]:
    if text is None:
        return None, UNSET
    text = redactor.json_text(text)
    return text.encode(), Raw(text)
