"""Huey on SQLite or Redis: handlers in threads of its consumer."""

import harness
import on_threads
import phases
from huey import RedisHuey, SqliteHuey

FILE = harness.DSN.startswith("sqlite")
if FILE:
    huey = SqliteHuey(filename=harness.DSN.removeprefix("sqlite:///"), results=True, fsync=True)
else:
    huey = RedisHuey(url=harness.DSN, results=True)


@huey.task()
def noop(n: float) -> None:
    harness.handled(n)


class Huey(harness.Peer):
    packages = ("huey",) if FILE else ("huey", "redis", "hiredis")
    settings = "threads as shown; " + (
        "fsync, polled every 1 to 10 ms"
        if FILE
        else "blocking pop; results kept where there are any"
    )
    bulk = False

    async def one(self, n: float) -> None:
        noop(n)

    async def start(self) -> None:
        # An idle consumer on SQLite sleeps up to 10 s by default, which nobody who cares for
        # latency would leave as it is.
        polling = ["-d", "0.001", "-m", "0.01"] if FILE else []
        self.pid = on_threads.spawn(
            *("huey_consumer", "peer_huey.huey", "-k", "thread"),
            *("-w", str(harness.CONCURRENCY), "-q", *polling),
        )

    async def left(self) -> int:
        return len(huey)  # less those that run just now: at most as many as threads

    def worker_pid(self) -> int:
        return self.pid


if __name__ == "__main__":
    import peer_huey  # Huey finds a task by its module's name, which is another in the consumer

    phases.main(peer_huey.Huey(), on_threads)
