"""PgQueuer: jobs in PostgreSQL, handlers on asyncio, claims and completions in batches."""

import json

import asyncpg
import harness
import on_asyncio
import phases
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job


class Pgqueuer(harness.Peer):
    packages = ("pgqueuer", "asyncpg")
    # One connection, as in its manual: from a pool of 16, one by one and from 64 tasks took twice
    # as long, since the pool resets each connection that comes back.
    settings = (
        "one asyncpg connection, batch_size as shown, enqueue of lists, uvloop; jobs not kept"
    )

    async def open(self) -> None:
        self.driver = AsyncpgDriver(await asyncpg.connect(harness.DSN))
        self.queries = Queries(self.driver)

    async def create(self) -> None:
        await self.queries.install()

    async def one(self, n: float) -> None:
        await self.queries.enqueue("noop", json.dumps({"n": n}).encode())

    async def many(self, numbers: range) -> None:
        payloads: list[bytes | None] = [json.dumps({"n": n}).encode() for n in numbers]
        await self.queries.enqueue(["noop"] * len(numbers), payloads, [0] * len(numbers))

    async def start(self) -> None:
        worker = PgQueuer(self.driver)

        @worker.entrypoint("noop")
        async def noop(job: Job) -> None:
            assert job.payload is not None
            harness.handled(json.loads(job.payload)["n"])

        on_asyncio.spawn(worker.run(batch_size=harness.CONCURRENCY))

    async def left(self) -> int:
        return int((await self.driver.fetch("select count(*) from pgqueuer"))[0]["count"])


if __name__ == "__main__":
    phases.main(Pgqueuer(), on_asyncio)
