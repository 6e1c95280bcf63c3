"""Which types jobs may have: those with a handler here, and those of workers elsewhere."""

from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

from ..registry import Ctx, Handler, Registry

ANY = "*"


class Types:
    """`elsewhere()` are the types that workers elsewhere have asked for, `allowed` those that the
    settings let in before one has (`*`: any).
    """

    def __init__(
        self,
        registry: Registry,
        allowed: Collection[str] = (),
        elsewhere: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._registry = registry
        self._allowed = frozenset(allowed)
        self._elsewhere = elsewhere

    def __contains__(self, type_: str) -> bool:
        return (
            type_ in self._registry
            or ANY in self._allowed
            or type_ in self._allowed
            or type_ in self._elsewhere()
        )

    def __getitem__(self, type_: str) -> Handler:
        """The handler, or one that takes anything and is run elsewhere; raises UnknownType."""
        if type_ in self:
            return self.terms(type_)
        raise self._registry.unknown(type_, self._allowed.union(self._elsewhere()))

    def terms(self, type_: str) -> Handler:
        """What holds for jobs of a type, whether they may be made here or not."""
        return self._registry[type_] if type_ in self._registry else _foreign(type_)


@lru_cache(maxsize=1_000)
def _foreign(type_: str) -> Handler:
    summary = "Run by workers elsewhere."
    return Handler(type_, _elsewhere, input=Any, accepts_upload=True, summary=summary)


async def _elsewhere(_input: Any, _ctx: Ctx) -> Any:
    raise NotImplementedError("jobs of this type are run elsewhere")
