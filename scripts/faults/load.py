"""Those who post and read while a fault is there, and how they are answered."""

import threading
import time
from collections import Counter
from typing import NamedTuple

import httpx

from .service import Service

POSTERS = 4
BREATH = 0.01  # seconds between two requests of one of them
TIMEOUT = 10.0


class Answer(NamedTuple):
    """`status` 0: none came. `at` is monotonic."""

    at: float
    status: int
    seconds: float


class Load:
    """Four who post and one who reads, until the end of the `with`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._post) for _ in range(POSTERS)]
        self._threads.append(threading.Thread(target=self._read))
        self.posts: list[Answer] = []
        self.reads: list[Answer] = []

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _post(self) -> None:
        with httpx.Client(base_url=self._service.url, timeout=TIMEOUT, trust_env=False) as http:
            while not self._stop.wait(BREATH):
                answer = self._asked(http, "POST", "/jobs", self.posts)
                if answer is not None and answer.status_code == 201:
                    self._service.acknowledged.append(answer.json()["id"])

    def _read(self) -> None:
        with httpx.Client(base_url=self._service.url, timeout=TIMEOUT, trust_env=False) as http:
            while not self._stop.wait(BREATH):
                known = self._service.acknowledged[-1:]
                self._asked(http, "GET", f"/jobs/{known[0]}" if known else "/jobs", self.reads)

    @staticmethod
    def _asked(
        http: httpx.Client, method: str, path: str, answers: list[Answer]
    ) -> httpx.Response | None:
        start = time.monotonic()
        body = {"type": "noop", "input": {"filling": "x" * 500}} if method == "POST" else None
        try:
            answer = http.request(method, path, json=body)
        except httpx.TransportError:
            answer = None
        now = time.monotonic()
        answers.append(Answer(now, answer.status_code if answer else 0, now - start))
        return answer


def statuses(answers: list[Answer]) -> str:
    """For the report: `201: 40, 503: 2`."""
    counts = Counter(str(answer.status or "none") for answer in answers)
    return ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))


def slowest(answers: list[Answer]) -> float:
    return max((answer.seconds for answer in answers), default=0.0)
