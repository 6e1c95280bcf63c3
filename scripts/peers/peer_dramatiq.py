"""Dramatiq on Redis: handlers in the threads of one worker process."""

import dramatiq
import harness
import on_threads
import phases
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=harness.DSN)
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(n: float) -> None:
    harness.handled(n)


class Dramatiq(harness.Peer):
    packages = ("dramatiq", "redis", "hiredis")
    settings = "one process, threads as shown, its default middleware; no results"
    bulk = False

    async def one(self, n: float) -> None:
        noop.send(n)

    async def start(self) -> None:
        self.pid = on_threads.spawn(
            *("dramatiq", "peer_dramatiq", "-p", "1", "-t", str(harness.CONCURRENCY)),
            *("--skip-logging",),
        )

    async def left(self) -> int:
        # A message stays in the hash until it is acknowledged.
        return int(broker.client.hlen("dramatiq:default.msgs"))

    def worker_pid(self) -> int:
        return self.pid


if __name__ == "__main__":
    phases.main(Dramatiq(), on_threads)
