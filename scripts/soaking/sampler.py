"""Whoever takes the samples."""

from contextlib import suppress

import httpx
import trio

from .crew import Crew
from .ledger import Ledger
from .samples import Sample


async def take_samples(crew: Crew, ledger: Ledger, samples: list[Sample]) -> None:
    """One a second, until it is cancelled; none of a second in which the service was stopped."""
    url, before, ended, at = crew.serving.url, None, 0, trio.current_time()
    async with httpx.AsyncClient(base_url=url, timeout=5, trust_env=False) as http:
        while True:
            await trio.sleep(1)
            told = crew.told()
            if not told or told == before:
                continue
            waiting = 0
            with suppress(httpx.TransportError):
                queues = (await http.get("/queues")).json().get("queues", [])
                waiting = sum(queue["jobs"].get("queued", 0) for queue in queues)
            now, count = trio.current_time(), ledger.ended.total()
            wal = crew.database.with_name(crew.database.name + "-wal")
            samples.append(
                Sample(
                    at=now,
                    wal_mb=wal.stat().st_size / 1e6,
                    database_mb=crew.database.stat().st_size / 1e6,
                    waiting=waiting,
                    ended_per_s=(count - ended) / (now - at),
                    **told,
                )
            )
            before, ended, at = told, count, now
