"""All that is known of one run: what strace noted, and what clients were told."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path

from . import strace
from .answers import Answer, Connections, Json, Promises, promises
from .disk import MERCY, File, contents
from .recording import Recording
from .subject import DATABASE, observe

RECORD, LEDGER, DISK = "record", "ledger.json", "disk"  # names in the directory of a run


@dataclass(frozen=True)
class Evidence:
    """`database` is a path on the recorded disk; `inputs` are by the ids of jobs."""

    recording: Recording
    answers: list[Answer]
    said: Promises
    inputs: Mapping[str, Json]
    database: Path

    @property
    def wals(self) -> list[File]:
        """There may have been several, one after the other."""
        return self.recording.files(self.database.with_name(self.database.name + "-wal"))


def gathered(directory: Path, durability: str, jobs: int) -> Evidence:
    """Runs the service, unless the record of a run is there already.

    Raises Unusable when the record is not all that happened.
    """
    ledger, record, disk = directory / LEDGER, directory / RECORD, directory / DISK
    if not ledger.exists():
        disk.mkdir(parents=True)
        ledger.write_text(json.dumps(observe(directory, record, disk / DATABASE, durability, jobs)))
    inputs = json.loads(ledger.read_text())
    recording, connections = Recording(disk), Connections()
    for call in strace.calls(record):
        recording.take(call)
        connections.take(call)
    _compare(recording, disk)
    answers = connections.answers()
    said = promises(answers)
    if said.stored.keys() != inputs.keys():
        raise strace.Unusable("clients were told something else than strace has noted")
    return Evidence(recording, answers, said, inputs, DATABASE)


def _compare(recording: Recording, disk: Path) -> None:
    """Raises Unusable unless all writes together are what is there in the end, byte for byte."""
    for path, data in contents(recording.folder, inf, MERCY).items():
        if data is not None and (disk / path).read_bytes() != data:
            raise strace.Unusable(f"strace has not noted all that was written to {path}")
