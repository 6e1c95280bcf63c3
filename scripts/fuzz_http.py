"""Throws broken HTTP at a server of its own and looks whether anything breaks or leaks.

    scripts/fuzz_http.py --inputs 100000 --seed 1
    scripts/fuzz_http.py --seconds 60
    scripts/fuzz_http.py --seed 1 --only 4711      # one input again, shown

An input is a seed request that was mutated, cut into packets, and ended in one of several
ways. After every batch the server must live, its descriptors and tasks must be back where
they were, nothing may have been logged as an error, and a normal request must work. Progress
goes to stderr, the summary to stdout; the exit status is 1 when something was found.
"""

import argparse
import json
import logging
import random
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import trio

BATCH = 2_000
CLIENTS = 48
PATIENCE = 10.0  # seconds until a conversation counts as hung
HEAD_TIMEOUT = 0.5

SEEDS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /stream HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nUser-Agent: x\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET http://a/echo?x=%20 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody",
    b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\nx\r\n0\r\nX:y\r\n\r\n",
    b"POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4, ::1\r\nX-Forwarded-Proto: x\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
]
WORDS = [
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b";", b",", b"\x0b", b"\x85"),
    *(b"\r\n ", b"%00", b"%", b"#", b"?", b"//", b"..", b'"', b"\\", b"=", b"\xff\xfe", b"+", b"-"),
    *(b"0\r\n\r\n", b"0x5", b"-1", b"99999999999999999999", b"ffffffffffffffff", b"1_0", b"1e3"),
    *(b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"HTTP/0.9", b"GET ", b"POST ", b"CONNECT ", b"HEAD "),
    *(b"Host: b\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Upgrade: h2c\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Expect: x\r\n"),
    *(b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n"),
    *(b"X: " + b"y" * 3_000 + b"\r\n", b"X: y\r\n" * 120, b"/" * 9_000, b"A" * 20_000),
]


# -- the inputs


def mutated(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(SEEDS))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 7))):
        mutate(data, rng)
    if rng.random() < 0.3:  # something behind it, in the same stream
        data += rng.choice(SEEDS) * rng.choice((1, 1, 3))
    return bytes(data[:200_000])


def mutate(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.randrange(1, 12))
    kind = rng.randrange(8)
    if kind == 0:
        data[at:at] = rng.choice(WORDS)
    elif kind == 1:
        data[at:end] = rng.choice(WORDS)
    elif kind == 2:
        del data[at:end]
    elif kind == 3:
        data[at:at] = data[at:end] * rng.choice((1, 2, 50))
    elif kind == 4:
        data[at:end] = rng.randbytes(end - at)
    elif kind == 5 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 6:
        other = rng.choice(SEEDS)
        data[at:] = other[rng.randrange(len(other)) :]
    else:
        line = data.rfind(b"\r\n", 0, at)
        if line >= 0:  # a new header line, where one may stand
            data[line + 2 : line + 2] = rng.choice(WORDS[-16:-4])


class Input:
    """What one client does: the bytes, their packets, and how it leaves."""

    def __init__(self, seed: int, index: int) -> None:
        rng = random.Random(f"{seed}/{index}")
        self.index = index
        self.data = mutated(rng)
        cuts = sorted(rng.randrange(len(self.data) + 1) for _ in range(rng.choice((0, 0, 1, 3))))
        bounds = [0, *cuts, len(self.data)]
        self.pieces = [self.data[a:b] for a, b in pairwise(bounds)]
        # half: no more requests. reset: gone at once. close: politely. stay: until the deadline.
        self.end = rng.choices(("half", "reset", "close", "stay"), (90, 6, 3, 1))[0]


async def converse(port: int, given: Input) -> tuple[str, str | None]:
    """What became of it, and what is wrong with that."""
    answer = bytearray()
    with trio.move_on_after(PATIENCE):
        try:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await play(stream, given)
                if given.end in ("reset", "close"):
                    return given.end, None
                async for piece in stream:
                    answer += piece
        except trio.BrokenResourceError:
            return "reset by server", None
        except OSError as error:
            return "refused", f"cannot connect: {error}"
        return judge(bytes(answer))
    return "hung", f"no end within {PATIENCE:g} s after {bytes(answer[:200])!r}"


async def play(stream: trio.SocketStream, given: Input) -> None:
    for piece in given.pieces:
        if piece:
            await stream.send_all(piece)
            await trio.lowlevel.checkpoint()
    if given.end == "reset":
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif given.end == "half":
        await stream.send_eof()


def judge(answer: bytes) -> tuple[str, str | None]:
    if not answer:
        return "closed", None
    status = answer[9:12].decode("latin-1")
    if not answer.startswith(b"HTTP/1.1 ") or not status.isdigit():
        return "nonsense", f"answered {answer[:200]!r}"
    if b"HTTP/1.1 500 " in answer:
        return status, f"a 500: {answer[-300:]!r}"
    return status, None


# -- the server


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            await send({"type": message["type"] + ".complete"})
    else:
        await respond(scope["path"], receive, send)


async def respond(path: str, receive: Any, send: Any) -> None:
    if path == "/stats":
        tasks = trio.lowlevel.current_statistics().tasks_living
        await answer(send, json.dumps({"tasks": tasks, "errors": ERRORS}).encode())
    elif path == "/wait":
        with trio.move_on_after(HEAD_TIMEOUT):
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await answer(send, b"waited")
    elif path == "/echo":
        pieces = [piece async for piece in body_of(receive)]
        if pieces[-1] is not None:
            await answer(send, b"".join(piece or b"" for piece in pieces))
    elif path == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for piece in body_of(receive):
            if piece is None:
                return
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"end"})
    else:
        await answer(send, b"ok")


async def body_of(receive: Any) -> AsyncIterator[bytes | None]:
    """The pieces of the body; None at the end when the client has gone."""
    more = True
    while more:
        message = await receive()
        yield message.get("body")
        more = message.get("more_body", False)


async def answer(send: Any, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


ERRORS: list[str] = []  # the server's, on its own side of the fork


class Remember(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if len(ERRORS) < 20 and "left without an answer" not in text:
            ERRORS.append(text[-2_000:])


async def serve_forever() -> None:
    from trio_jobs.config import Settings
    from trio_jobs.http.edge import serve

    remember = Remember()
    remember.setLevel(logging.ERROR)
    logging.getLogger().addHandler(remember)
    settings = Settings(
        bind="127.0.0.1:0",
        head_timeout=HEAD_TIMEOUT,
        body_timeout=HEAD_TIMEOUT,
        keep_alive=HEAD_TIMEOUT,
        send_timeout=HEAD_TIMEOUT,
        max_connections=1_000,
        trusted_proxies=("127.0.0.0/8",),
        access_log=True,
    )
    async with trio.open_nursery() as nursery:

        async def run(task_status: Any) -> None:
            await serve(app, settings, task_status=task_status)

        urls = await nursery.start(run)
        print(urls[0], flush=True)
        # The parent holds the other end: when it is gone, so are we.
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


# -- the hunt


class Hunt:
    def __init__(self, process: "subprocess.Popen[str]", port: int, seed: int) -> None:
        self.process = process
        self.port = port
        self.descriptors = Path(f"/proc/{process.pid}/fd")
        self.seed = seed
        self.findings: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.done = 0
        self.baseline = (0, 0)

    async def stats(self) -> tuple[tuple[int, int], list[str]]:
        body = await self.request(b"GET /stats")
        told = json.loads(body)
        descriptors = len(list(self.descriptors.iterdir()))
        return (descriptors, told["tasks"]), told["errors"]

    async def request(self, start: bytes, body: bytes = b"") -> bytes:
        head = b"%b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            await stream.send_all(head % (start, len(body)) + body)
            answer = b""
            async for piece in stream:
                answer += piece
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise ValueError(f"a normal request was answered {answer[:200]!r}")
        return answer.partition(b"\r\n\r\n")[2]

    async def batch(self, indices: range) -> None:
        waiting = iter(indices)

        async def client() -> None:
            for index in waiting:
                outcome, wrong = await converse(self.port, Input(self.seed, index))
                self.outcomes[outcome] += 1
                self.done += 1
                if wrong:
                    self.findings.append(f"input {index}: {wrong}")

        async with trio.open_nursery() as nursery:
            for _ in range(CLIENTS):
                nursery.start_soon(client)
        await self.check(f"after input {indices[-1]}")

    async def check(self, when: str) -> None:
        if self.process.poll() is not None:
            self.findings.append(f"{when}: the process died with {self.process.returncode}")
            return
        try:
            with trio.fail_after(PATIENCE):
                if await self.request(b"POST /echo", b"hello") != b"hello":
                    self.findings.append(f"{when}: a normal request does not work")
                now, errors = await self.stats()
                while (
                    now > self.baseline or now[1] > self.baseline[1]
                ):  # what was left behind ends at its deadline
                    await trio.sleep(0.05)
                    now, errors = await self.stats()
                self.findings += [f"{when}: logged {error}" for error in errors]
        except trio.TooSlowError:
            self.findings.append(
                f"{when}: (descriptors, tasks) are {now}, they were {self.baseline}"
            )
        except (OSError, ValueError) as error:
            self.findings.append(f"{when}: {error}")

    async def run(self, inputs: int, seconds: float) -> None:
        for _ in range(20):  # threads and caches that the first requests start are no leak
            await self.request(b"POST /echo", b"x")
            await trio.sleep(0.01)
            self.baseline, _errors = await self.stats()
        until = time.monotonic() + seconds
        while self.done < inputs and time.monotonic() < until and not self.findings:
            await self.batch(range(self.done, min(inputs, self.done + BATCH)))
            print(f"{self.done} inputs, {dict(self.outcomes)}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="run this input alone, and show it")
    parser.add_argument("--server", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.server:
        trio.run(serve_forever)
        return 0
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), "--server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])
        hunt = Hunt(process, port, options.seed)
        if options.only is not None:
            given = Input(options.seed, options.only)
            print(given.pieces, given.end)
            print(trio.run(converse, port, given))
        else:
            trio.run(hunt.run, options.inputs, options.seconds)
    finally:
        process.stdin.close()  # type: ignore[union-attr]
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    for finding in hunt.findings[:20]:
        print(finding, file=sys.stderr)
    print(
        f"{hunt.done} inputs, seed {options.seed}, {time.monotonic() - began:.0f} s, "
        f"{len(hunt.findings)} findings; answers: {dict(sorted(hunt.outcomes.items()))}"
    )
    return 1 if hunt.findings else 0


if __name__ == "__main__":
    sys.exit(main())
