"""The part of a store that runs jobs: what a worker needs, and may have over HTTP as well."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from .base import Pulse
from .doorbell import Doorbell
from .records import Claimed, Lease, Report, Settlement


class WorkStore(Protocol):
    """See `base.Store`, which is one, for what each of these promises."""

    doorbell: Doorbell
    cancels_bell: Doorbell

    @property
    def identity(self) -> str: ...

    async def claim(
        self,
        worker: str,
        types: Sequence[str],
        limit: int,
        now: float,
        expires_at: float,
        last_chance: bool = True,
        queues: Mapping[str, int] | None = None,
    ) -> list[Claimed]: ...

    async def report(self, reports: Sequence[Report], now: float) -> set[str]: ...

    async def cancels(self, worker: str) -> list[Lease]: ...

    async def settle(
        self, settlements: Sequence[Settlement], now: float, reports: Sequence[Report] = ()
    ) -> set[str]: ...

    def pulse(self) -> Pulse: ...
