"""What is there after a power cut, as a service finds it that starts again; and what should be."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from trio_jobs.errors import TrioJobsError
from trio_jobs.job import State
from trio_jobs.storage.file import SqliteFile
from trio_jobs.storage.records import Job

from .answers import Json, Promises


@dataclass(frozen=True)
class Stored:
    """What is in the database."""

    jobs: Mapping[str, Job]
    faults: list[str]  # that SQLite finds, and counts that do not count


@dataclass
class Damage:
    """In one cut or, added up, in many."""

    lost: list[str] = field(default_factory=list)  # acknowledged, and not there as it was
    undone: list[str] = field(default_factory=list)  # seen as done, and not done with that result
    corrupt: list[str] = field(default_factory=list)  # why the database cannot be used
    half: list[str] = field(default_factory=list)  # jobs without all that belongs to them

    def add(self, other: "Damage") -> None:
        for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True):
            mine.extend(theirs)

    def __bool__(self) -> bool:
        return any(vars(self).values())


def damage(path: Path, said: Promises, cut: float, inputs: Mapping[str, Json]) -> Damage:
    """Opens the database and holds it against what had been said before the cut.

    `inputs` has those of all jobs that a producer knows; a job's output is its input.
    """
    try:
        stored = opened(path)
    except (TrioJobsError, apsw.Error) as error:
        return Damage(corrupt=[f"{type(error).__name__}: {error}"])
    found = Damage(corrupt=stored.faults, half=halves(stored.jobs.values()))
    for id_, began in said.stored.items():
        if began < cut:
            job = stored.jobs.get(id_)
            if job is None or _json(job.payload_text) != inputs[id_]:
                found.lost.append(id_)
    for id_, (began, output) in said.done.items():
        if began < cut:
            job = stored.jobs.get(id_)
            if job is None or job.state != State.DONE or _json(job.result_text) != output:
                found.undone.append(id_)
    return found


def opened(path: Path) -> Stored:
    """Opens a database as a service does that starts, and reads all of it.

    Raises what the service would.
    """
    file = SqliteFile(path, durable=True, shared=False, visitor=False, callback=None)
    file.open()
    try:
        db = file.writer
        faults = [str(row[0]) for row in db.execute("pragma integrity_check") if row[0] != "ok"]
        ids = [str(row[0]) for row in db.execute("select id from jobs")]
        [jobs] = file.read_jobs([ids])
        counted = Counter((job.queue, str(job.state)) for job in jobs.values())
        kept = {
            (queue, state): n
            for queue, state, n in db.execute("select queue, state, n from counts where n <> 0")
        }
        if kept != counted:
            faults.append(f"the counts are {kept}, the jobs {dict(counted)}")
        return Stored(jobs, faults)
    finally:
        file.close()


def halves(jobs: Iterable[Job]) -> list[str]:
    """Jobs without their input, done without their result, and arrays of which some is missing."""
    found: list[str] = []
    arrays: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for job in jobs:
        input_ = _json(job.payload_text)
        if input_ is None or (job.state == State.DONE and _json(job.result_text) != input_):
            found.append(job.id)
        else:
            arrays.setdefault(input_["array"], []).append(job.id)
            sizes[input_["array"]] = input_["of"]
    return found + [id_ for array, ids in arrays.items() if len(ids) != sizes[array] for id_ in ids]


def _json(text: str | None) -> Json:
    return None if text is None else json.loads(text)
