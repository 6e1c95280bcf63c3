"""trio_jobs, on SQLite and on PostgreSQL: the engine in process, without HTTP."""

import harness
import msgspec
import on_trio
import phases

from trio_jobs.config import Settings
from trio_jobs.job import State
from trio_jobs.registry import Handler, Registry
from trio_jobs.service import Order, Service
from trio_jobs.storage import open_store
from trio_jobs.worker import Worker


async def noop(input_: dict[str, float], _ctx: object) -> None:
    harness.handled(input_["n"])


class Ours(harness.Peer):
    packages = ("trio-jobs", "trio", "psycopg" if harness.DSN.startswith("postgres") else "apsw")
    settings = "durability=full, concurrency as shown; results and jobs kept"

    async def open(self) -> None:
        settings = Settings(database=harness.DSN, concurrency=harness.CONCURRENCY)
        registry = Registry([Handler("noop", noop, input=dict[str, float])])
        store = open_store(harness.DSN, durable=True, shared=False)
        await on_trio.spawn(store.run)
        self.store = store
        self.service = Service(store, registry, settings)
        self.worker = Worker(store, registry, settings)

    async def one(self, n: float) -> None:
        await self.service.enqueue([order(n)])

    async def many(self, numbers: range) -> None:
        await self.service.enqueue([order(n) for n in numbers])

    async def start(self) -> None:
        await on_trio.spawn(self.worker.run)

    async def left(self) -> int:
        counts = await self.store.counts()
        return sum(n for queue in counts.values() for s, n in queue.items() if s != State.DONE)


def order(n: float) -> Order:
    return Order(type="noop", payload=msgspec.json.encode({"n": n}))


if __name__ == "__main__":
    phases.main(Ours(), on_trio)
