"""Whoever asks the service for something, and holds it to its word."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from trio_jobs.errors import Conflict, Unavailable, Uncertain
from trio_jobs.service import Order, Service
from trio_jobs.service.desk import Placed

from .chance import Chance
from .handlers import NARROW
from .law import Law
from .process import NoAnswer, Process
from .trace import Trace

T = TypeVar("T")

AGAIN = 0.3  # seconds between tries
PATIENCE = 30.0  # seconds


class Client:
    """Asks `orders` times, of whichever process serves."""

    def __init__(
        self, name: str, processes: Sequence[Process], law: Law, chance: Chance, trace: Trace
    ) -> None:
        self._name = name
        self._processes = processes
        self._law = law
        self._chance = chance
        self._dice = chance.dice
        self._trace = trace

    async def run(self, orders: int) -> None:
        for number in range(orders):
            await trio.sleep(self._dice.choice((0.0, 0.05, 1.0)))
            tag = f"{self._name}.{number}"
            if self._dice.random() < 0.5:
                await self._until_acknowledged(tag, self._orders(tag))
            else:
                await self._once(tag, self._orders(tag))
            if self._dice.random() < 0.5:
                await self._steer()

    def _orders(self, tag: str) -> list[Order]:
        dice = self._dice
        n = 2 if dice.random() < 0.4 else 1
        return [
            Order(
                type=dice.choice(("work", "work", NARROW)),
                tags=[tag if n == 1 else f"{tag}{letter}"],
                priority=dice.randrange(3),
                delay=dice.choice((None, None, 0.2, 2.0)),
                unique_key=dice.choice((None, None, "a")),
                max_attempts=4,
            )
            for letter in "ab"[:n]
        ]

    # ── orders ────────────────────────────────────────────────────────────────────────────────

    async def _until_acknowledged(self, tag: str, orders: list[Order]) -> None:
        """With an Idempotency-Key: however often it is asked for, it is stored once."""
        while not await self._placed(tag, orders, (tag, tag)):  # noqa: ASYNC110
            await trio.sleep(AGAIN)
        if self._dice.random() < 0.3:
            await self._placed(tag, orders, (tag, tag))

    async def _once(self, tag: str, orders: list[Order]) -> None:
        """Without: a no must be a no, or whoever tries again has it twice."""
        await self._placed(tag, orders, None)

    async def _placed(self, tag: str, orders: list[Order], key: tuple[str, str] | None) -> bool:
        async def enqueue(service: Service) -> list[Placed]:
            return await service.enqueue(orders, key)

        try:
            placed = await self._ask(enqueue)
        except (NoAnswer, Uncertain) as error:
            self._trace.note(self._name, f"{tag}: {error!r}")
            return False
        except (Unavailable, Conflict) as error:
            self._trace.note(self._name, f"{tag}: {error!r}")
            if key is None:
                for order in orders:
                    self._law.refused(order.tags[0])
            return False
        self._trace.note(self._name, f"{tag}: acknowledged")
        self._law.acknowledged(tag, [each.job.id for each in placed])
        return True

    # ── jobs that are there ───────────────────────────────────────────────────────────────────

    async def _steer(self) -> None:
        """Looks at a job, and maybe asks for something."""
        if not (ids := list(self._law.rows)):
            return
        id_ = self._dice.choice(ids)
        version = self._law.rows[id_].version
        verb: Callable[[Service], Awaitable[object]] | None = {
            0: lambda service: service.cancel(id_),
            1: lambda service: service.retry(id_),
            2: lambda service: service.run_now(id_),
            3: lambda service: service.snooze(id_, 0.5),
            4: lambda service: service.wait(id_, 1.0),
        }.get(self._dice.randrange(10))
        try:
            if verb is not None:
                await self._ask(verb)
            job = await self._ask(lambda service: service.get(id_))
        except (NoAnswer, Unavailable, Conflict) as error:
            self._trace.note(self._name, f"{error!r}")
        else:
            self._law.shown(job, version)

    async def _ask(self, verb: Callable[[Service], Awaitable[T]]) -> T:
        serving = [process for process in self._processes if process.serves]
        if not serving:
            raise NoAnswer
        patience = PATIENCE
        if self._chance.strikes("impatient"):
            patience = self._dice.choice((0.0, 0.001, 0.01, 0.3))
        return await self._dice.choice(serving).asked(verb, patience)
