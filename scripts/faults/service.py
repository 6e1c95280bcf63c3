"""A service that runs, what is asked of it, and what it has promised."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx

from .outcome import Broken, must

Found = TypeVar("Found")

PATIENCE = 10.0  # seconds, for what takes much less
PAGE = 500


class Service:
    """One process that serves at `url`. `acknowledged` has the ids of all jobs it has taken."""

    def __init__(
        self, process: subprocess.Popen[bytes], url: str, log: Path, acknowledged: list[str]
    ) -> None:
        self.process = process
        self.url = url
        self.acknowledged = acknowledged
        self._log = log
        self.http = httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    def wait_until_ready(self) -> None:
        def ready() -> bool:
            must(self.process.poll() is None, f"it did not start: {last_line(self.log)}")
            try:
                return self.http.get("/livez", timeout=1).is_success
            except httpx.TransportError:
                return False

        until(ready, "it does not serve", 30.0)

    def post(self, type_: str = "noop", input_: Any = None, **options: Any) -> str:
        """The id of a job that was acknowledged."""
        answer = self.http.post("/jobs", json={"type": type_, "input": input_ or {}, **options})
        must(answer.status_code == 201, f"a job was refused: {answer.status_code} {answer.text}")
        self.acknowledged.append(answer.json()["id"])
        return self.acknowledged[-1]

    def get(self, id_: str) -> dict[str, Any]:
        answer = self.http.get(f"/jobs/{id_}")
        must(answer.status_code == 200, f"job {id_}: {answer.status_code}")
        return dict(answer.json())

    def reach(self, id_: str, *states: str, within: float = PATIENCE) -> dict[str, Any]:
        """The job, once it is in one of these states."""

        def there() -> dict[str, Any] | None:
            job = self.get(id_)
            return job if job["state"] in states else None

        return until(there, f"job {id_} is not {' or '.join(states)}", within)

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def must_end(self, code: int, within: float = PATIENCE) -> float:
        """Waits for the process to exit with `code`; the seconds that it took."""
        start = time.monotonic()
        try:
            found = self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise Broken(f"the process still runs after {within:g} s") from None
        must(found == code, f"exit code {found}, not {code}: {last_line(self.log)}")
        return time.monotonic() - start

    def sound(self, *, drained: bool = True) -> str:
        """That it works, and knows all that was acknowledged: in words, for the report.

        `drained`: no job waits or runs any more, either.
        """
        self.reach(self.post(), "done")
        if drained:
            until(self._is_drained, "jobs wait and nobody runs them")
        lost = set(self.acknowledged) - self._ids()
        must(not lost, f"{len(lost)} acknowledged jobs are lost, e.g. {next(iter(lost), '')}")
        return f"{len(self.acknowledged)} acknowledged, 0 lost"

    def _is_drained(self) -> bool:
        counts = self.http.get("/queues/default").json()["jobs"]
        return not (counts.get("queued") or counts.get("running"))

    def _ids(self) -> set[str]:
        found: set[str] = set()
        cursor = ""
        while True:
            page = self.http.get(f"/jobs?limit={PAGE}{cursor}").json()
            found.update(job["id"] for job in page["jobs"])
            if page["next"] is None:
                return found
            cursor = f"&cursor={page['next']}"


def until(look: Callable[[], Found | None], otherwise: str, within: float = PATIENCE) -> Found:
    """What `look` returns, as soon as it is something; Broken when it takes too long."""
    deadline = time.monotonic() + within
    while not (found := look()):
        must(time.monotonic() < deadline, f"after {within:g} s: {otherwise}")
        time.sleep(0.02)
    return found


def last_line(text: str) -> str:
    """What was said last; of a log line, the message."""
    line = (text.strip().splitlines() or ["it said nothing"])[-1]
    with suppress(ValueError, TypeError, KeyError):
        line = json.loads(line)["message"]
    return line[:300]
