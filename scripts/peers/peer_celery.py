"""Celery on Redis: handlers in the processes of a prefork worker."""

import harness
import on_threads
import phases
from celery import Celery

app = Celery("peer_celery", broker=harness.DSN)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=128,  # as its guide on optimizing says for short tasks
    task_acks_late=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="noop")
def noop(n: float) -> None:
    harness.handled(n)


class OnCelery(harness.Peer):
    packages = ("celery", "kombu", "redis", "hiredis")
    settings = "prefork, processes as shown, prefetch 128, -O fair, early acks, results not kept"
    bulk = False

    async def one(self, n: float) -> None:
        noop.delay(n)

    async def start(self) -> None:
        self.pid = on_threads.spawn(
            *("celery", "-A", "peer_celery", "worker", "-P", "prefork", "-l", "error"),
            *("-c", str(harness.CONCURRENCY), "--without-gossip", "--without-mingle"),
            *("--without-heartbeat", "-O", "fair"),
        )

    async def left(self) -> int:
        with app.connection_or_acquire() as connection:
            redis = connection.default_channel.client
            return int(redis.llen("celery") + redis.hlen("unacked"))

    def worker_pid(self) -> int:
        return self.pid


if __name__ == "__main__":
    phases.main(OnCelery(), on_threads)
