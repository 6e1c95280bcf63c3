"""Requests of all kinds, drawn from a seed."""

import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import trio

from .ledger import Ledger

JSON = {"Content-Type": "application/json"}
RECENT = 2_000  # jobs that are asked for again
SCRAPE = 5.0  # seconds

JOBS: list[tuple[dict[str, Any], float]] = [
    ({"type": "noop"}, 60),
    ({"type": "noop", "delay": 5}, 4),
    ({"type": "noop", "delay": 60, "tags": ["later"]}, 1),
    ({"type": "noop", "deadline": 300, "priority": 10}, 4),
    ({"type": "sleep", "input": {"seconds": 0.2}}, 8),
    ({"type": "sleep", "input": {"seconds": 10}}, 2),
    ({"type": "flaky"}, 4),
    ({"type": "hopeless"}, 2),
    ({"type": "refused"}, 2),
    ({"type": "hang"}, 1),
    ({"type": "isolated", "input": {"steps": 20_000}}, 2),
    ({"type": "stuck"}, 0.2),
    ({"type": "threaded"}, 4),
    ({"type": "snoozing"}, 2),
    ({"type": "chatty"}, 4),
]  # and how often


class Traffic:
    """`answers` counts what came of the requests: "kind status" or "kind error"."""

    def __init__(self, url: str, dice: random.Random, ledger: Ledger) -> None:
        self.answers: Counter[str] = Counter()
        self._host, _, self._port = url.removeprefix("http://").partition(":")
        self._dice = dice
        self._ledger = ledger
        self._http = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._kinds: dict[Callable[[], Awaitable[object]], int] = {
            self._post: 40,
            self._read: 30,
            self._array: 4,
            self._unique: 4,
            self._upload: 2,
            self._list: 4,
            self._cancel: 3,
            self._watch: 3,
            self._bad: 5,
            self._leave: 4,
            self._slow: 1,
        }

    async def run(self, rate: float, seconds: float) -> None:
        """Starts `rate` requests a second for so long, whatever becomes of them."""
        kinds, weights = list(self._kinds), list(self._kinds.values())
        end = trio.current_time() + seconds
        async with self._http, trio.open_nursery() as nursery:
            nursery.start_soon(self._scrape, end)
            due = trio.current_time()
            while due < end:
                due += self._dice.expovariate(rate)
                await trio.sleep_until(due)
                nursery.start_soon(self._counted, self._dice.choices(kinds, weights)[0])

    async def burst(self, jobs: int) -> None:
        """Many jobs at once, of which all fail, and all are tried again."""
        for _ in range(jobs // 500):
            await self._counted(self._storm)

    async def reset(self, connections: int) -> None:
        """Connections that are cut off in the midst of an answer, all at once."""
        async with trio.open_nursery() as nursery:
            for _ in range(connections):
                nursery.start_soon(self._counted, self._cut)

    async def _counted(self, kind: Callable[[], Awaitable[object]]) -> None:
        name = kind.__name__.strip("_")
        try:
            self.answers[f"{name} {await kind()}"] += 1
        except (httpx.TransportError, trio.BrokenResourceError, OSError) as error:
            self.answers[f"{name} {type(error).__name__}"] += 1

    async def _scrape(self, end: float) -> None:
        while trio.current_time() < end:
            await self._counted(self._metrics)
            await trio.sleep(SCRAPE)

    # ── what is asked ─────────────────────────────────────────────────────────────────────────

    async def _post(self) -> int:
        jobs, weights = zip(*JOBS, strict=True)
        job = dict(self._dice.choices(jobs, weights)[0])
        if job["type"] == "noop":
            job["input"] = {"text": "x" * self._dice.choice((1, 10, 100, 1_000, 20_000))}
        return self._kept(await self._http.post("/jobs", json=job))

    async def _array(self) -> int:
        jobs = [{"type": "noop"}] * self._dice.randint(1, 50)
        return self._kept(await self._http.post("/jobs", json=jobs))

    async def _storm(self) -> int:
        return self._kept(await self._http.post("/jobs", json=[{"type": "hopeless"}] * 500))

    async def _unique(self) -> int:
        key = f"key-{self._dice.randint(1, 20)}"
        job = {"type": "noop", "unique_key": key, "delay": 1}
        return self._kept(await self._http.post("/jobs", json=job))

    async def _upload(self) -> int:
        data = self._dice.randbytes(self._dice.choice((0, 1_000, 100_000)))
        params = {"type": "process_file", "operation": "checksum"}
        return self._kept(await self._http.post("/jobs", params=params, content=data))

    def _kept(self, answer: httpx.Response) -> int:
        if answer.status_code == 201:
            body = answer.json()
            for job in body.get("jobs", [body]):
                if not job.get("deduplicated"):
                    self._ledger.acknowledge(job["id"], job["type"])
                    self._recent.append(job["id"])
        return answer.status_code

    async def _read(self) -> int:
        return (await self._http.get(f"/jobs/{self._some()}")).status_code

    async def _list(self) -> int:
        return (await self._http.get("/jobs", params={"limit": 100})).status_code

    async def _metrics(self) -> int:
        return (await self._http.get("/metrics")).status_code

    async def _cancel(self) -> int:
        """One that runs for a while; it is given the time to begin, or not."""
        job = {"type": "sleep", "input": {"seconds": 30}}
        answer = await self._http.post("/jobs", json=job)
        if self._kept(answer) != 201:
            return answer.status_code
        await trio.sleep(self._dice.choice((0, 0.2, 1)))
        return (await self._http.post(f"/jobs/{answer.json()['id']}/cancel")).status_code

    async def _watch(self) -> str:
        """Follows a job, or all of them, for a moment."""
        path = self._dice.choice((f"/jobs/{self._some()}/events", "/events"))
        with trio.move_on_after(self._dice.uniform(0, 2)):
            async with self._http.stream("GET", path) as answer:
                async for _ in answer.aiter_raw():
                    pass
        return "left"

    async def _bad(self) -> int:
        body = self._dice.choice((b"{", b"[]", b'{"type":"nope"}', b"\xff" * 1_000, b"7"))
        return (await self._http.post("/jobs", content=body, headers=JSON)).status_code

    async def _leave(self) -> str:
        """Sends a part of a request and goes."""
        async with await self._connected() as stream:
            request = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
            await stream.send_all(request[: self._dice.randint(0, len(request))])
        return "left"

    async def _slow(self) -> str:
        """Asks for much and reads it in sips."""
        async with await self._connected() as stream:
            await stream.send_all(b"GET /jobs?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5)
            for _ in range(20):
                await stream.receive_some(512)
                await trio.sleep(0.05)
        return "left"

    async def _cut(self) -> str:
        """Asks for much and resets the connection."""
        async with await self._connected() as stream:
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await stream.send_all(b"GET /jobs?limit=100 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await trio.sleep(self._dice.uniform(0, 0.05))
        return "reset"

    def _some(self) -> str:
        return self._dice.choice(self._recent) if self._recent else "0" * 32

    async def _connected(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(self._host, int(self._port))
