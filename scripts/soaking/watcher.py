"""Whoever follows the ends of all jobs."""

import json
import time
from collections.abc import Iterable

import httpx
import trio

from trio_jobs.clock import to_rfc3339

from .ledger import Ledger

SWEEP = 10.0  # seconds from look to look at jobs of which nothing was heard for so long
FINAL = ("done", "failed", "cancelled")


class Watcher:
    """Tells the ledger what ends: from the event stream, and by asking for what it did not tell."""

    def __init__(self, url: str, ledger: Ledger) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=40, trust_env=False)
        self._ledger = ledger
        self._position = "0"
        self._due: set[str] = set()  # had ended at the last look: their events must be on the way

    async def run(self) -> None:
        """Until it is cancelled."""
        async with self._http, trio.open_nursery() as nursery:
            nursery.start_soon(self._sweep)
            while True:
                try:
                    await self._listen()
                except httpx.HTTPError:
                    await trio.sleep(0.2)

    async def _listen(self) -> None:
        known = {"Last-Event-ID": self._position}
        async with self._http.stream("GET", "/events", headers=known) as answer:
            answer.raise_for_status()
            final = False
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    self._position = value
                elif name == "event":
                    final = value.removeprefix("job.") in FINAL
                elif name == "data" and final:
                    job = json.loads(value)
                    self._ledger.end(job["id"], job["type"], job["state"])

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(SWEEP)
            await self.look(self._ledger.older(SWEEP))

    async def look(self, ids: Iterable[str]) -> set[str]:
        """Asks for each of these jobs; those that wait for a time to come."""
        waiting, due = set(), set()
        for id_ in ids:
            try:
                answer = await self._http.get(f"/jobs/{id_}")
            except httpx.TransportError:
                continue
            if answer.status_code == 404:
                self._ledger.lose(id_)
            elif answer.status_code == 200:
                job = answer.json()
                if job["state"] in FINAL and id_ in self._ledger.open:
                    if id_ in self._due:
                        self._ledger.unheard += 1
                        self._ledger.end(id_, job["type"], job["state"])
                    due.add(id_)
                elif job["state"] == "scheduled" and job["run_at"] > to_rfc3339(time.time()):
                    waiting.add(id_)
        self._due = due
        return waiting
