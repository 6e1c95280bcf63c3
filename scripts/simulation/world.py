"""A world: some processes on one file, some clients, and a seed that decides everything."""

import random
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from unittest.mock import patch

import trio
import trio.testing

from trio_jobs import backoff, clock, ids
from trio_jobs.config import Settings
from trio_jobs.storage import neighbours, presence
from trio_jobs.storage.connection import open_writer
from trio_jobs.storage.queries import load
from trio_jobs.testing import EPOCH
from trio_jobs.worker import worker

from .chance import Chance
from .client import Client
from .handlers import NARROW
from .heartbeat import VirtualHeartbeat
from .law import Law
from .process import Process
from .trace import Trace

TROUBLE = 5.0  # seconds that things go wrong for
BOUND = 200.0  # seconds until everything has come to its end
STOP = 30.0  # seconds that an orderly stop may take
ORDERS = 3  # of each client
LIMITS = {NARROW: 1}
STEP = 12.0  # seconds that the clock is off at most
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Lived(NamedTuple):
    """What became of a world. `breach`: a promise that was broken in it."""

    seed: int
    breach: str | None
    digest: str
    lines: list[str]
    steps: int
    jobs: int
    deaths: int
    seconds: float


class World:
    """Lives once."""

    def __init__(self, directory: Path, dice: random.Random) -> None:
        self._path = directory / "jobs.db"
        self._dice = dice
        self._trace = Trace()
        self.chance = Chance(dice)
        self._offset = 0.0  # of the wall clock
        self._over = False
        self._end = trio.CancelScope()
        self._processes = list[Process]()  # the youngest of each place
        self._deaths = 0
        self._settings = Settings(
            data_dir=str(directory),
            shared=True,
            lease=3.0,
            poll_interval=3.0,
            concurrency=2,
            job_timeout=5.0,
            cleanup_grace=1.0,
            shutdown_grace=1.5,
        )

    def now(self) -> float:
        """The wall clock, the same for all processes."""
        return EPOCH + trio.current_time() + self._offset

    async def live(self, seed: int) -> Lived:
        """Raises nothing: what goes wrong is a breach."""
        self._prepare()
        law = Law(
            self._path,
            self._trace,
            living=lambda: {one.identity for one in self._processes if one.present},
            limits=LIMITS,
            upon_breach=self._end.cancel,
        )
        with closing(law), self._trace.listening():
            try:
                with self._end:
                    await self._history(law)
            except Exception as error:
                law.demand(False, "".join(traceback.format_exception(error)))
            if law.breach is None:
                law.final()
            return Lived(
                seed,
                law.breach,
                self._trace.digest,
                self._trace.lines,
                law.steps,
                len(law.rows),
                self._deaths,
                trio.current_time(),
            )

    def _prepare(self) -> None:
        with closing(open_writer(self._path, durable=False)) as db:
            for queue, most in LIMITS.items():
                db.execute(load("sqlite.sql")["limit"], (queue, most))

    async def _history(self, law: Law) -> None:
        async with trio.open_nursery() as nursery:
            for place in range(self._dice.choice((2, 2, 2, 3, 4))):
                self._processes.append(self._born(place, 0, law))
                nursery.start_soon(self._keep_alive, place, law)
            with trio.move_on_after(BOUND) as bound:
                await self._trouble(law)
                while law.unfinished:  # noqa: ASYNC110 - its time costs nothing
                    await trio.sleep(0.5)
            law.demand(not bound.cancelled_caught, f"no end: {law.unfinished or 'for clients'}")
            self._over = True
            with trio.move_on_after(STOP) as bound:
                for process in self._processes:
                    process.stop()
                for process in self._processes:
                    await process.gone.wait()
            law.demand(not bound.cancelled_caught, "a process does not stop")

    async def _trouble(self, law: Law) -> None:
        """Clients at work, and what befalls them from outside."""
        async with trio.open_nursery() as nursery:
            for name in ("A", "B", "C"):
                client = Client(name, self._processes, law, self.chance, self._trace)
                nursery.start_soon(client.run, ORDERS)
            end = trio.current_time() + TROUBLE
            while trio.current_time() < end:
                await trio.sleep(self._dice.uniform(0.0, 1.0))
                self._befall()
            self.chance.calm = True
            self._trace.note("", "calm")

    def _befall(self) -> None:
        process = self._dice.choice(self._processes)
        if self.chance.strikes("kill"):
            process.kill()
        if self.chance.strikes("restart"):
            process.stop()
        if self.chance.strikes("clock"):
            self._offset = self._dice.uniform(-STEP, STEP)
            self._trace.note("", f"the clock is off by {self._offset:.3f} s")

    # ── processes ─────────────────────────────────────────────────────────────────────────────

    def _born(self, place: int, life: int, law: Law) -> Process:
        name = f"{place}.{life}"
        return Process(name, self._path, self._settings, law, self.chance, self._trace)

    async def _keep_alive(self, place: int, law: Law) -> None:
        """Starts it again, whatever it dies of."""
        async with trio.open_nursery() as lives:
            for life in count(1):
                lives.start_soon(self._processes[place].run)
                await self._processes[place].gone.wait()
                await trio.sleep(self._dice.choice((0.0, 0.1, 2.0)))
                if self._over:
                    return
                self._deaths += 1
                self._processes[place] = self._born(place, life, law)


def lived(seed: int) -> Lived:
    """The life of the world with this seed, to its end."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="simulate-", dir=MEMORY) as directory:
        world = World(Path(directory), dice)
        with decided(dice, world.now, world.chance):
            return trio.run(world.live, seed, clock=trio.testing.MockClock(autojump_threshold=0))


@contextmanager
def decided(dice: random.Random, now: Callable[[], float], chance: Chance) -> Iterator[None]:
    """All that is left to chance or to the clock elsewhere is as the dice fall here."""
    hexes = SimpleNamespace(token_hex=lambda n: dice.randbytes(n).hex())
    run = trio._core._run
    with ExitStack() as stack:
        for where, name, what in (
            (run, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
            (run, "_r", dice),
            (clock, "now", now),
            (ids, "time", SimpleNamespace(time_ns=lambda: int(now() * 1e9))),
            (ids, "os", SimpleNamespace(urandom=dice.randbytes)),
            (presence, "secrets", hexes),
            (neighbours, "secrets", hexes),
            (backoff, "random", dice),
            (worker, "Heartbeat", partial(VirtualHeartbeat, chance=chance)),
        ):
            stack.enter_context(patch.object(where, name, what))
        yield
