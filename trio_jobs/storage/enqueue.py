"""The write behind `enqueue`: plain jobs, jobs with a unique key, requests with an idempotency key.

Whatever a batch brings, each kind is one call of a procedure for all callers together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import msgspec

from ..errors import Conflict, KeyReused
from ..job import State
from .batcher import Patience
from .doorbell import CHANGES, JOBS
from .records import Enqueued, Key, NewJob
from .wishes import Amendment
from .write import Session, Write, as_json, weight

Holder = tuple[str, State, str]
WAITING = (State.SCHEDULED, State.QUEUED)


@dataclass(frozen=True, slots=True)
class Enqueue(Write):
    jobs: Sequence[NewJob]
    key: Key | None = None
    order = 5
    rings = JOBS + CHANGES
    patience = Patience.TURN

    @property
    def weight(self) -> int:
        return sum(weight(row.payload_text, row.payload_hex) for row in self.jobs)

    @classmethod
    def apply(cls, db: Session, writes: Sequence["Enqueue"]) -> list[Enqueued | Conflict]:
        kept = _kept(db, writes)
        # Of several with one key in a batch, the first decides.
        first: dict[str, Enqueue] = {}
        for write in writes:
            if write.key is not None and write.key.key not in kept:
                first.setdefault(write.key.key, write)
        new = [w for w in writes if w.key is None or first.get(w.key.key) is w]
        others, refused = _store(db, list(chain.from_iterable(write.jobs for write in new)))
        verdicts = {id(write): _verdict(write, others, refused) for write in new}
        made = [
            (key, write.key.fingerprint, verdict.ids, write.key.expires_at)
            for key, write in first.items()
            if write.key is not None and isinstance(verdict := verdicts[id(write)], Enqueued)
        ]
        if made:
            db.run("keep_keys", as_json(made))
            kept.update((key, (fingerprint, ids)) for key, fingerprint, ids, _ in made)
        # A refusal keeps no key: it stands for the same request, and for no other.
        refusals = {
            (write.key.key, write.key.fingerprint): verdicts[id(write)]
            for write in first.values()
            if write.key is not None and write.key.key not in kept
        }
        again: list[Enqueue] = []
        for write in writes:
            if write.key is None or id(write) in verdicts:
                continue
            if write.key.key in kept:
                verdicts[id(write)] = _replay(write.key, *kept[write.key.key])
            elif refusal := refusals.get((write.key.key, write.key.fingerprint)):
                verdicts[id(write)] = refusal
            else:
                again.append(write)
        if again:
            verdicts.update(zip(map(id, again), cls.apply(db, again), strict=True))
        return [verdicts[id(write)] for write in writes]


def _verdict(
    write: Enqueue, others: dict[str, str], refused: dict[str, Conflict]
) -> Enqueued | Conflict:
    """What a new request gets. Of an array, one refused job takes the whole transaction with it."""
    for row in write.jobs:
        if row.id in refused:
            if len(write.jobs) > 1:
                raise refused[row.id]
            return refused[row.id]
    return Enqueued([others.get(row.id, row.id) for row in write.jobs])


def _kept(db: Session, writes: Sequence[Enqueue]) -> dict[str, tuple[str, list[str]]]:
    """What the keys that are known already have got: key -> fingerprint and ids."""
    keys = [write.key.key for write in writes if write.key is not None]
    if not keys:
        return {}
    now = max((row.created_at for write in writes for row in write.jobs), default=0.0)
    rows = msgspec.json.decode(db.value("keys", as_json(keys), now), type=list[_Kept])
    return {key: (fingerprint, ids) for key, fingerprint, ids in rows}


_Kept = tuple[str, str, list[str]]


def _replay(key: Key, fingerprint: str, ids: list[str]) -> Enqueued | Conflict:
    if fingerprint != key.fingerprint:
        return KeyReused(f"The Idempotency-Key {key.key!r} came with another request before.")
    return Enqueued(ids, replayed=True)


Decided = tuple[dict[str, str], dict[str, Conflict]]


def _store(db: Session, rows: Sequence[NewJob]) -> Decided:
    """Stores what may be. Of the others, by id: which job stands for it, or why it is refused."""
    plain = [row for row in rows if row.unique_key is None]
    if plain:
        db.run("do_enqueue", as_json(plain))
    decided: Decided = ({}, {})
    if len(plain) < len(rows):
        decided = _unique(db, [row for row in rows if row.unique_key is not None])
    if callbacks := [(row.id, row.callback_url) for row in rows if row.callback_url is not None]:
        db.run("keep_callbacks", as_json(callbacks))
    return decided


def _unique(db: Session, rows: Sequence[NewJob]) -> Decided:
    """`_store` for jobs with a unique key: those whose key is free are new."""
    holders = msgspec.json.decode(db.call("do_enqueue_unique", as_json(rows)), type=list[Holder])
    others: dict[str, str] = {}
    refused: dict[str, Conflict] = {}
    replacing: dict[str, NewJob] = {}
    for row, (holder, state, queue) in zip(rows, holders, strict=True):
        if holder == row.id:
            continue
        if row.visible is not None and queue not in row.visible:
            refused[row.id] = Conflict(f"Another job holds the unique_key {row.unique_key!r}.")
        elif row.on_conflict == "reject":
            refused[row.id] = Conflict(f"The job {holder} holds the unique_key {row.unique_key!r}.")
        elif row.on_conflict == "replace" and state not in WAITING:
            refused[row.id] = Conflict(
                f"The job {holder} holds the unique_key {row.unique_key!r} and does not wait "
                f"any more ({state}): it cannot be replaced."
            )
        else:
            others[row.id] = holder
            if row.on_conflict == "replace":
                replacing[holder] = row  # of several, the last counts
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
        db.call("do_amend", as_json(amended), now)
        db.run("do_replace", as_json(bodies))
        callbacks = [
            (holder, row.callback_url)
            for holder, row in replacing.items()
            if row.callback_url is not None
        ]
        if callbacks:
            db.run("keep_callbacks", as_json(callbacks))
    return others, refused
