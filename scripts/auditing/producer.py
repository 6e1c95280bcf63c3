"""Whoever posts jobs, and remembers outside of the service what it was promised."""

import random
import threading
import time
from dataclasses import dataclass, field

import httpx

from .fleet import Fleet

TIMEOUT = 5.0


@dataclass
class Ledger:
    """`acknowledged`: idempotency key -> id of the job, for each 2xx. `attempted`: all keys."""

    attempted: set[str] = field(default_factory=set)
    acknowledged: dict[str, str] = field(default_factory=dict)
    ambiguous: int = 0  # answers that never came


class Producer(threading.Thread):
    """Posts one job after the other, each until it is acknowledged, until `stop` is set."""

    def __init__(self, name: str, fleet: Fleet, ledger: Ledger, stop: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._fleet = fleet
        self._ledger = ledger
        self._stop_it = stop
        self._dice = random.Random(name)

    def run(self) -> None:
        number = 0
        with httpx.Client(timeout=TIMEOUT, trust_env=False) as http:
            while not self._stop_it.is_set():
                number += 1
                key = f"{self.name}-{number}"
                self._ledger.attempted.add(key)
                type_ = "apart" if self._dice.random() < 0.1 else "work"
                seconds = self._dice.choice((0, 0.01, 0.2))
                body = {"type": type_, "input": {"seconds": seconds}}
                while not self._posted(http, key, body):
                    time.sleep(0.02)

    def _posted(self, http: httpx.Client, key: str, body: object) -> bool:
        url = self._dice.choice(self._fleet.members).url
        try:
            answer = http.post(f"{url}/jobs", json=body, headers={"Idempotency-Key": key})
        except httpx.ConnectError:
            return False
        except httpx.TransportError:
            self._ledger.ambiguous += 1
            return False
        if answer.status_code == 503:
            return False
        answer.raise_for_status()
        self._ledger.acknowledged[key] = answer.json()["id"]
        return True
