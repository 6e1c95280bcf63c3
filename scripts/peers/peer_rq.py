"""RQ on Redis: handlers in the worker's own process (SimpleWorker: no fork for each job)."""

import harness
import on_threads
import phases
from redis import Redis
from rq import Queue
from rq.registry import StartedJobRegistry

redis = Redis.from_url(harness.DSN)
queue = Queue(connection=redis)


def noop(n: float) -> None:
    harness.handled(n)


class Rq(harness.Peer):
    packages = ("rq", "redis", "hiredis")
    settings = "SimpleWorker, enqueue_many, results kept 500 s"

    async def one(self, n: float) -> None:
        queue.enqueue("peer_rq.noop", n)

    async def many(self, numbers: range) -> None:
        queue.enqueue_many([Queue.prepare_data("peer_rq.noop", (n,)) for n in numbers])

    async def start(self) -> None:
        self.pid = on_threads.spawn(
            *("rq", "worker", "--url", harness.DSN, "--quiet"),
            *("--worker-class", "rq.SimpleWorker", "--logging_level", "ERROR"),
        )

    async def left(self) -> int:
        return len(queue) + StartedJobRegistry(queue=queue).get_job_count(cleanup=False)

    def worker_pid(self) -> int:
        return self.pid


if __name__ == "__main__":
    phases.main(Rq(), on_threads)
