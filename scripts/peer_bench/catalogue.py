"""Who is measured: each peer's store, what it needs installed, and what its answer promises."""

from dataclasses import dataclass, replace
from typing import Literal

Store = Literal["sqlite", "postgres", "redis"]

COMMITTED = "commit, WAL flushed (fsync and synchronous_commit on)"
FILE_COMMITTED = "commit, fsync of the file's WAL (synchronous=FULL)"
NOT_SYNCED = "nothing is fsynced: it is in Redis' memory (no appendonly file by default)"
SYNCED = "Redis' appendonly file is fsynced (appendfsync always)"


@dataclass(frozen=True)
class Peer:
    """`concurrency` is tried in the first round, the best of it kept for the others.

    `script` is a file in scripts/peers; what runs it is Node for `.cjs`, else Python: our own where
    no `packages` are named, one with these packages otherwise.
    """

    name: str
    title: str
    store: Store
    script: str
    packages: tuple[str, ...]
    concurrency: tuple[int, ...]
    acknowledged: str
    one_process: bool = False  # it is meant to be deployed with its worker beside the producer
    pair: bool = False  # two worker processes are measured as well

    @property
    def node(self) -> bool:
        return self.script.endswith(".cjs")

    @property
    def ours(self) -> bool:
        return not self.packages


def _postgres(
    name: str, title: str, script: str, packages: tuple[str, ...], concurrency: tuple[int, ...]
) -> Peer:
    return Peer(name, title, "postgres", script, packages, concurrency, COMMITTED, pair=True)


def _redis(
    name: str, title: str, script: str, packages: tuple[str, ...], concurrency: tuple[int, ...]
) -> Peer:
    return Peer(name, title, "redis", script, packages, concurrency, NOT_SYNCED)


def _sqlite(
    name: str, title: str, script: str, packages: tuple[str, ...], concurrency: tuple[int, ...]
) -> Peer:
    return Peer(name, title, "sqlite", script, packages, concurrency, FILE_COMMITTED)


OURS = ("trio_jobs", "peer_ours.py", (), (32, 100, 256))
HUEY = ("Huey", "peer_huey.py", ("huey", "redis", "hiredis"), (1, 4, 16))
PROCRASTINATE = ("procrastinate", "psycopg[binary,pool]")
PGQUEUER = ("pgqueuer", "asyncpg", "uvloop")
SAQ = ("saq[redis,hiredis]", "typing_extensions")
TASKIQ = ("taskiq[uvloop]", "taskiq-redis", "hiredis")

PEERS = [
    replace(_sqlite("ours-sqlite", *OURS), one_process=True),
    _postgres("ours-postgres", *OURS),
    _postgres(
        "procrastinate", "Procrastinate", "peer_procrastinate.py", PROCRASTINATE, (1, 10, 32)
    ),
    _postgres("pgqueuer", "PgQueuer", "peer_pgqueuer.py", PGQUEUER, (100, 1_000)),
    _sqlite("huey-sqlite", *HUEY),
    _redis("huey-redis", *HUEY),
    _redis("celery", "Celery", "peer_celery.py", ("celery[redis]", "hiredis"), (1, 2, 4)),
    _redis("rq", "RQ", "peer_rq.py", ("rq", "hiredis"), (1,)),
    _redis("dramatiq", "Dramatiq", "peer_dramatiq.py", ("dramatiq[redis]", "hiredis"), (4, 8, 32)),
    _redis("arq", "arq", "peer_arq.py", ("arq", "hiredis"), (10, 100)),
    _redis("saq", "SAQ", "peer_saq.py", SAQ, (10, 32, 100)),
    _redis("taskiq", "taskiq", "peer_taskiq.py", TASKIQ, (10, 100)),
    _redis("bullmq", "BullMQ", "peer_bullmq.cjs", ("bullmq", "ioredis"), (10, 100, 300)),
    _postgres("pg-boss", "pg-boss", "peer_pgboss.cjs", ("pg-boss",), (100, 1_000)),
    _postgres(
        "graphile-worker", "graphile-worker", "peer_graphile.cjs", ("graphile-worker",), (10, 24)
    ),
]
BY_NAME = {peer.name: peer for peer in PEERS}


def rotated(peers: list[Peer], number: int) -> list[Peer]:
    """Another one is first in each round, so that no noise favours one of them."""
    first = number % max(1, len(peers))
    return [*peers[first:], *peers[:first]]
