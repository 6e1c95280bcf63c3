"""The attempts under way in this process."""

from collections import Counter
from collections.abc import Iterator

import trio

from ..executor.attempt import Attempt
from ..storage.records import Claimed


class Running:
    """By lease token: a job that was taken from us may be back before its old attempt has ended.

    `last_chance` is the one job that must not crash again.
    """

    def __init__(self) -> None:
        self._attempts: dict[int, tuple[Claimed, Attempt]] = {}
        self._some = trio.Event()
        self.last_chance: Claimed | None = None

    def __len__(self) -> int:
        return len(self._attempts)

    def __iter__(self) -> Iterator[tuple[Claimed, Attempt]]:
        """A copy, to change while iterating."""
        return iter(list(self._attempts.values()))

    def attempt(self, token: int) -> Attempt | None:
        found = self._attempts.get(token)
        return found and found[1]

    def by_queue(self) -> Counter[str]:
        return Counter(job.queue for job, _ in self._attempts.values())

    def add(self, job: Claimed, attempt: Attempt) -> None:
        self._attempts[job.lease_token] = job, attempt
        if not self._some.is_set():
            self._some.set()
        if job.crashes and job.on_last_chance:
            self.last_chance = job

    def remove(self, job: Claimed) -> None:
        del self._attempts[job.lease_token]
        if self.last_chance is job:
            self.last_chance = None

    async def wait_for_some(self) -> None:
        """Returns while there are attempts: what looks after them costs nothing otherwise."""
        while not self._attempts:
            if self._some.is_set():  # else others wait for this one already
                self._some = trio.Event()
            await self._some.wait()
