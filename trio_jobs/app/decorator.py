"""What `@app.job(…)` makes of which function, for type checkers."""

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from ..registry import Ctx
from .job_type import BareJobType, JobType

P = TypeVar("P")
R = TypeVar("R")
Rest = ParamSpec("Rest")


class Decorator(Protocol):
    """The first that fits counts: async before plain, without a payload before with one."""

    # They overlap, as a coroutine is a result like any other: the order is the rule.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[[Ctx], Coroutine[Any, Any, R]], /
    ) -> BareJobType[[Ctx], Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(
        self, function: Callable[[], Coroutine[Any, Any, R]], /
    ) -> BareJobType[[], Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[Concatenate[P, Rest], Coroutine[Any, Any, R]], /
    ) -> JobType[P, Rest, Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(self, function: Callable[[Ctx], R], /) -> BareJobType[[Ctx], R, R]: ...
    @overload
    def __call__(self, function: Callable[[], R], /) -> BareJobType[[], R, R]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[P, Rest], R], /
    ) -> JobType[P, Rest, R, R]: ...
