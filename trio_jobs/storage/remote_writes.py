"""The verbs that write down what is known of workers elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import apsw
import msgspec

from .remote import Directive, Seen
from .write import Write, as_json, run, value


@dataclass(frozen=True, slots=True)
class Saw(Write):
    """`since` is how long ago the workers (and the types) must have been seen to be kept."""

    seen: Sequence[Seen]
    workers_since: float
    types_since: float
    order = 10

    def run(self, db: apsw.Connection) -> None:
        rows = as_json(self.seen)
        run(db, "saw_workers", rows)
        run(db, "saw_types", rows)
        run(db, "forget_workers", self.workers_since)
        run(db, "forget_types", self.types_since)


@dataclass(frozen=True, slots=True)
class Direct(Write):
    names: Sequence[str]
    directive: Directive
    order = 11  # behind Saw: whoever was just seen can be told

    def run(self, db: apsw.Connection) -> set[str]:
        names = as_json(self.names)
        run(db, "direct", names, self.directive.value)
        return set(msgspec.json.decode(value(db, "directed", names), type=list[str]))
