"""The write behind `enqueue`: plain jobs, jobs with a unique key, requests with an idempotency key.

Whatever a batch brings, each kind is one call of a procedure for all callers together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import apsw
import msgspec

from ..errors import Conflict, KeyReused
from ..job import State
from .batcher import Patience
from .records import Amendment, Enqueued, Key, NewJob
from .write import Write, as_json, call, run, weight

Holder = tuple[str, State]
WAITING = (State.SCHEDULED, State.QUEUED)


@dataclass(frozen=True, slots=True)
class Enqueue(Write):
    jobs: Sequence[NewJob]
    key: Key | None = None
    order = 5
    patience = Patience.TURN

    @property
    def weight(self) -> int:
        return sum(weight(row.payload_text, row.payload_hex) for row in self.jobs)

    @classmethod
    def apply(cls, db: apsw.Connection, writes: Sequence["Enqueue"]) -> list[Enqueued]:
        known = _known(db, writes)
        new = [write for write, replay in zip(writes, known, strict=True) if replay is None]
        rows = list(chain.from_iterable(write.jobs for write in new))
        plain = [row for row in rows if row.unique_key is None]
        if plain:
            run(db, "do_enqueue", as_json(plain))
        others = {}
        if len(plain) < len(rows):
            others = _unique(db, [row for row in rows if row.unique_key is not None])
        answers = []
        for write, replay in zip(writes, known, strict=True):
            if replay is None:
                replay = Enqueued([others.get(row.id, row.id) for row in write.jobs])
            answers.append(replay)
        return answers


def _known(db: apsw.Connection, writes: Sequence[Enqueue]) -> list[Enqueued | None]:
    """For each request what its key has got before; None when it is new."""
    keyed = [(at, write.key) for at, write in enumerate(writes) if write.key is not None]
    known: list[Enqueued | None] = [None] * len(writes)
    if not keyed:
        return known
    rows = [
        (key.key, key.fingerprint, [job.id for job in writes[at].jobs], key.expires_at)
        for at, key in keyed
    ]
    now = max(job.created_at for at, _ in keyed for job in writes[at].jobs)
    kept = msgspec.json.decode(call(db, "do_keys", as_json(rows), now), type=list[_Kept])
    for (at, key), row, (fingerprint, ids) in zip(keyed, rows, kept, strict=True):
        if fingerprint != key.fingerprint:
            raise KeyReused(f"The Idempotency-Key {key.key!r} came with another request before.")
        if ids != row[2]:
            known[at] = Enqueued(ids, replayed=True)
    return known


_Kept = tuple[str, list[str]]


def _unique(db: apsw.Connection, rows: Sequence[NewJob]) -> dict[str, str]:
    """Stores those whose key is free; for each of the others the id of the job that holds it."""
    holders = msgspec.json.decode(call(db, "do_enqueue_unique", as_json(rows)), type=list[Holder])
    others: dict[str, str] = {}
    replacing: dict[str, NewJob] = {}
    for row, (holder, state) in zip(rows, holders, strict=True):
        if holder == row.id:
            continue
        if row.on_conflict == "reject":
            raise Conflict(f"The job {holder} holds the unique_key {row.unique_key!r}.")
        if row.on_conflict == "replace":
            if state not in WAITING:
                raise Conflict(
                    f"The job {holder} holds the unique_key {row.unique_key!r} and does not wait "
                    f"any more ({state}): it cannot be replaced."
                )
            replacing[holder] = row  # of several, the last counts
        others[row.id] = holder
    if replacing:
        now = max(row.created_at for row in replacing.values())
        amended = [
            Amendment(holder, run_at=row.run_at, priority=row.priority)
            for holder, row in replacing.items()
        ]
        bodies = [
            (holder, row.payload_text, row.payload_hex, row.content_type, row.params)
            for holder, row in replacing.items()
        ]
        call(db, "do_amend", as_json(amended), now)
        run(db, "do_replace", as_json(bodies))
    return others
