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
from .write import Write, as_json, call, run, value, weight

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
        kept = _kept(db, writes)
        # Of several with one key in a batch, the first decides for all.
        first: dict[str, Enqueue] = {}
        for write in writes:
            if write.key is not None and write.key.key not in kept:
                first.setdefault(write.key.key, write)
        new = [w for w in writes if w.key is None or first.get(w.key.key) is w]
        others = _store(db, list(chain.from_iterable(write.jobs for write in new)))
        made = [
            (key, write.key.fingerprint, [others.get(row.id, row.id) for row in write.jobs],
             write.key.expires_at)
            for key, write in first.items() if write.key is not None
        ]  # fmt: skip
        if made:
            run(db, "keep_keys", as_json(made))
            kept.update((key, (fingerprint, ids)) for key, fingerprint, ids, _ in made)
        answers = []
        for write in writes:
            if write.key is None:
                answers.append(Enqueued([others.get(row.id, row.id) for row in write.jobs]))
                continue
            fingerprint, ids = kept[write.key.key]
            if fingerprint != write.key.fingerprint:
                raise KeyReused(
                    f"The Idempotency-Key {write.key.key!r} came with another request before."
                )
            answers.append(Enqueued(ids, replayed=first.get(write.key.key) is not write))
        return answers


def _kept(db: apsw.Connection, writes: Sequence[Enqueue]) -> dict[str, tuple[str, list[str]]]:
    """What the keys that are known already have got: key -> fingerprint and ids."""
    keys = [write.key.key for write in writes if write.key is not None]
    if not keys:
        return {}
    now = max((row.created_at for write in writes for row in write.jobs), default=0.0)
    rows = msgspec.json.decode(value(db, "keys", as_json(keys), now), type=list[_Kept])
    return {key: (fingerprint, ids) for key, fingerprint, ids in rows}


_Kept = tuple[str, str, list[str]]


def _store(db: apsw.Connection, rows: Sequence[NewJob]) -> dict[str, str]:
    """Stores what may be; for each job that may not the id of the one that stands for it."""
    plain = [row for row in rows if row.unique_key is None]
    if plain:
        run(db, "do_enqueue", as_json(plain))
    if len(plain) == len(rows):
        return {}
    return _unique(db, [row for row in rows if row.unique_key is not None])


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
