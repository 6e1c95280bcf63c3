"""The verbs that write down what is known of workers elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from .remote import Directive, Seen
from .write import Session, Write, as_json


@dataclass(frozen=True, slots=True)
class Saw(Write):
    """`since` is how long ago the workers (and the types) must have been seen to be kept."""

    seen: Sequence[Seen]
    workers_since: float
    types_since: float
    order = 10
    rings = ""

    def run(self, db: Session) -> None:
        rows = as_json(self.seen)
        db.run("saw_workers", rows)
        db.run("saw_types", rows)
        db.run("forget_workers", self.workers_since)
        db.run("forget_types", self.types_since)


@dataclass(frozen=True, slots=True)
class Direct(Write):
    names: Sequence[str]
    directive: Directive
    order = 11  # behind Saw: whoever was just seen can be told
    rings = ""

    def run(self, db: Session) -> set[str]:
        names = as_json(self.names)
        db.run("direct", names, self.directive.value)
        return set(msgspec.json.decode(db.value("directed", names), type=list[str]))
