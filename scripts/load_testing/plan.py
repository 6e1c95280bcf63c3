"""What is posted, and what came of it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import httpx
import trio

PATIENCE = 30.0  # seconds for one request


@dataclass(frozen=True)
class Plan:
    """What one process posts: `jobs`, at `rate` a second or (0) each client in a closed loop."""

    url: str
    job: dict[str, Any]
    jobs: int
    clients: int
    batch: int = 0  # jobs of one post, as an array; 0: one job, not in an array
    rate: float = 0.0
    echo: bool = False  # the server answers 200 and the same body, not 201 and jobs

    def turns(self, start: float, stop: trio.Event) -> Iterator[tuple[float | None, int]]:
        """For each post when it is due (trio time; None: at once) and how many jobs it has."""
        size = self.batch or 1
        for number in range(0, self.jobs, size):
            if stop.is_set():
                return
            due = start + number / self.rate if self.rate else None
            yield due, min(size, self.jobs - number)

    def request(self, size: int) -> httpx.Request:
        """A post of `size` jobs."""
        body = [self.job] * size if self.batch else self.job
        timeout = {"timeout": httpx.Timeout(PATIENCE).as_dict()}
        return httpx.Request("POST", self.url, json=body, extensions=timeout)

    def ids(self, answer: httpx.Response, size: int) -> list[str]:
        """The acknowledged ids; ValueError says what kind of error the answer is instead."""
        if self.echo and answer.status_code == 200:
            return [""] * size
        what = "unreadable"
        try:
            body = answer.json()
            if answer.status_code == 201:
                ids = [str(job["id"]) for job in (body["jobs"] if self.batch else [body])]
                if len(ids) == size:
                    return ids
                what = f"with {len(ids)} jobs for {size}"
            else:
                what = str(body["type"]).rpartition("/")[2]
        except (ValueError, KeyError, TypeError):
            pass
        raise ValueError(f"{answer.status_code} {what}")

    def share(self, count: int) -> "list[Plan]":
        """The same load from `count` processes."""
        return [
            replace(
                self,
                jobs=len(range(number, self.jobs, count)),
                clients=len(range(number, self.clients, count)),
                rate=self.rate / count,
            )
            for number in range(count)
        ]


class Ack(NamedTuple):
    """A post that was acknowledged; `began` is when it left or was due, in Unix seconds."""

    began: float
    seconds: float
    ids: list[str]


@dataclass
class Tally:
    """What came of the posts so far."""

    acks: list[Ack] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    seconds: float = 0.0

    def add(self, ack: Ack) -> None:
        self.acks.append(ack)
        self.accepted += len(ack.ids)
