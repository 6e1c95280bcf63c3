"""SAQ on Redis: handlers on asyncio."""

from typing import Any

import harness
import on_asyncio
import phases
from saq import Queue, Worker


async def noop(_ctx: dict[str, Any], *, n: float) -> None:
    harness.handled(n)


class Saq(harness.Peer):
    packages = ("saq", "redis", "hiredis")
    settings = "concurrency as shown, results kept 10 minutes (its default)"
    bulk = False

    async def open(self) -> None:
        self.queue = Queue.from_url(harness.DSN)
        await self.queue.connect()

    async def one(self, n: float) -> None:
        await self.queue.enqueue("noop", n=n)

    async def start(self) -> None:
        worker = Worker(self.queue, functions=[noop], concurrency=harness.CONCURRENCY)
        on_asyncio.spawn(worker.start())

    async def left(self) -> int:
        return await self.queue.count("incomplete")


if __name__ == "__main__":
    phases.main(Saq(), on_asyncio)
