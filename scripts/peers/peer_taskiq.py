"""taskiq on a Redis stream (acknowledged, so that a kill loses nothing): handlers on asyncio."""

import harness
import on_asyncio
import phases
from redis.asyncio import Redis
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(harness.DSN, consumer_id="0", max_connection_pool_size=128)


@broker.task(task_name="noop")
async def noop(n: float) -> None:
    harness.handled(n)


class Taskiq(harness.Peer):
    packages = ("taskiq", "taskiq-redis", "redis", "hiredis")
    settings = "RedisStreamBroker, max_async_tasks as shown, prefetch 100; no results"
    bulk = False

    async def open(self) -> None:
        self.redis = Redis.from_url(harness.DSN)
        await broker.startup()

    async def one(self, n: float) -> None:
        await noop.kiq(n)

    async def start(self) -> None:
        on_asyncio.spawn(
            run_receiver_task(broker, max_async_tasks=harness.CONCURRENCY, max_prefetch=100)
        )

    async def left(self) -> int:
        # The stream keeps them all; left are those not read yet, and those not acknowledged.
        (group,) = await self.redis.xinfo_groups("taskiq")
        return int(group["pending"] + (group["lag"] or 0))


if __name__ == "__main__":
    phases.main(Taskiq(), on_asyncio)
