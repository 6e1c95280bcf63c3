"""What a caller may do: which calls, and which jobs."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

from ..errors import Denied
from ..storage.wishes import Filter

OTHERS = "*"
"""All queues together that are not named."""


class Scope(StrEnum):
    """A kind of calls. ADMIN is good for all of them."""

    READ = "jobs:read"
    WRITE = "jobs:write"
    WORK = "jobs:work"
    QUEUES = "queues:admin"
    ADMIN = "admin"


class Grant(NamedTuple):
    """`types` and `queues` are those of the jobs it is about; None: all. `id` is the token's, or
    empty for who needs none.
    """

    id: str
    scopes: frozenset[Scope]
    types: frozenset[str] | None = None
    queues: frozenset[str] | None = None

    def may(self, scope: Scope) -> bool:
        """Is it good for `scope`?"""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def demand(self, scope: Scope) -> None:
        """Raises Denied unless it is good for `scope`."""
        if not self.may(scope):
            raise Denied(f"The token has no scope {scope}.", scope)

    @property
    def is_limited(self) -> bool:
        return self.types is not None or self.queues is not None

    def demand_all(self, what: str) -> None:
        """Raises Denied unless it is about all jobs; `what` is a plural."""
        if self.is_limited:
            raise Denied(f"{what} are about all jobs; the token is good for some.")

    def covers(self, type_: str, queue: str) -> bool:
        """Is a job of this type, in this queue, one of those it is about?"""
        return _allows(self.types, type_) and _allows(self.queues, queue)

    def narrow(self, filter: Filter) -> Filter:
        """`filter`, but only jobs that it is about."""
        return msgspec.structs.replace(
            filter, types=_both(filter.types, self.types), queues=_both(filter.queues, self.queues)
        )

    def work(
        self, types: Collection[str], queues: Mapping[str, int] | None, most: int
    ) -> Mapping[str, int] | None:
        """How many jobs of these types may be claimed from which queue (None: any); raises Denied.

        A worker that asks for more than it may have is told so: it would wait in vain.
        """
        named = [name for name in queues or () if name != OTHERS]
        for what, names, allowed in (("type", types, self.types), ("queue", named, self.queues)):
            if denied := [name for name in names if not _allows(allowed, name)]:
                raise Denied(f"The token is not good for jobs of the {what} {denied[0]}.")
        if self.queues is None:
            return queues
        others = most if queues is None else queues.get(OTHERS, 0)
        given = {name: queues[name] for name in named} if queues else {}
        return dict.fromkeys(sorted(self.queues), others) | given

    def covers_queue(self, queue: str) -> bool:
        """Is all that is in this queue?"""
        return self.types is None and _allows(self.queues, queue)


def _allows(names: Collection[str] | None, name: str) -> bool:
    return names is None or name in names


def _both(wanted: list[str] | None, allowed: frozenset[str] | None) -> list[str] | None:
    if allowed is None:
        return wanted
    return sorted(allowed if wanted is None else allowed.intersection(wanted))


ANYBODY = Grant("", frozenset({Scope.ADMIN}))
"""Who asks where no token is needed."""

NOBODY = Grant("", frozenset())
"""Who has no token where one is needed, and asks for what everybody may see."""
