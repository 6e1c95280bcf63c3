"""Jobs as those see them who leaf through lists or listen to events: without their secrets."""

import msgspec

from ..redaction import Redactor
from ..service.hiding import hide_in_error, hide_in_job
from ..storage.records import Job
from ..storage.watching import AttemptRecord
from . import views


def job_in_passing(
    job: Job, redactor: Redactor, include: frozenset[str] = frozenset()
) -> views.JobView:
    """`job` as one of a list, with those of its bodies that `include` names.

    Whoever leafs through jobs is not shown the secrets in them. What was stored is shown where a
    job is asked for by its id, and where it has just been made: see `views.view`.
    """
    return views.view(hide_in_job(job, redactor, bodies=bool(include)), include)


def attempt_in_passing(record: AttemptRecord, redactor: Redactor) -> views.AttemptView:
    hidden = msgspec.structs.replace(record, error=hide_in_error(record.error, redactor))
    return views.attempt_view(hidden)
