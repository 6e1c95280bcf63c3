"""arq on Redis: handlers on asyncio."""

from typing import Any

import harness
import on_asyncio
import phases
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

POLL = 0.005  # arq polls, twice a second by default


async def noop(_ctx: dict[str, Any], n: float) -> None:
    harness.handled(n)


class Arq(harness.Peer):
    packages = ("arq", "redis", "hiredis")
    settings = f"max_jobs as shown, poll_delay {POLL} s, results kept for an hour (its default)"
    bulk = False

    async def open(self) -> None:
        self.redis = await create_pool(RedisSettings.from_dsn(harness.DSN))

    async def one(self, n: float) -> None:
        await self.redis.enqueue_job("noop", n)

    async def start(self) -> None:
        worker = Worker(
            [noop],
            redis_pool=self.redis,
            max_jobs=harness.CONCURRENCY,
            poll_delay=POLL,
            handle_signals=False,
        )
        on_asyncio.spawn(worker.async_run())

    async def left(self) -> int:
        return int(await self.redis.zcard("arq:queue"))


if __name__ == "__main__":
    phases.main(Arq(), on_asyncio)
