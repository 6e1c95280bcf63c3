"""Clients that post a plan, in this process or in several."""

import json
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from functools import partial

import httpx
import trio

from .plan import Ack, Plan, Tally

# Clients on one httpx.AsyncClient: each request walks the whole list that is its pool. Posts a
# second that 64 clients made: 300 on one pool, 770 on pools of 16, 920 of 4, 760 of 1.
SHARE = 4
PAUSE = 0.1  # seconds that a closed-loop client rests after an error
LAST_ANSWERS = 3.0  # seconds that posts under way have after Ctrl-C
TELL = 0.5  # seconds between two reports of a load process


@asynccontextmanager
async def http_clients(count: int) -> AsyncIterator[list[httpx.AsyncClient]]:
    """One keep-alive client for each of `count` tasks (several share one); closed at the end."""
    limits = httpx.Limits(max_connections=SHARE, max_keepalive_connections=SHARE)
    unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # else each client loads all certificates
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(verify=unused, trust_env=False, limits=limits)
            )
            for _ in range(0, count, SHARE)
        ]
        yield [clients[number // SHARE] for number in range(count)]


async def post_all(plan: Plan, tally: Tally, stop: trio.Event) -> None:
    """The whole plan from this process; after `stop`, only answers that are still due."""
    start, started = trio.current_time(), time.time()
    turns = plan.turns(start, stop)

    async def one_client(client: httpx.AsyncClient) -> None:
        for due, size in turns:
            if due is not None:
                await trio.sleep_until(due)
            began = trio.current_time() if due is None else due
            try:
                ids = plan.ids(await client.send(plan.request(size)), size)
            except trio.Cancelled:
                tally.errors["interrupted"] += 1
                raise
            except (httpx.HTTPError, ValueError) as error:
                kind = type(error).__name__ if isinstance(error, httpx.HTTPError) else str(error)
                tally.errors[kind] += 1
                if due is None:
                    await trio.sleep(PAUSE)
            else:
                ended = trio.current_time()
                tally.add(Ack(started + began - start, ended - began, ids))
                tally.seconds = ended - start

    async with http_clients(plan.clients) as clients, trio.open_nursery() as nursery:
        nursery.start_soon(cut_short, stop, nursery.cancel_scope, LAST_ANSWERS)
        async with trio.open_nursery() as posting:
            for client in clients:
                posting.start_soon(one_client, client)
        nursery.cancel_scope.cancel()


async def cut_short(stop: trio.Event, scope: trio.CancelScope, seconds: float) -> None:
    """Once `stop` is set, `scope` has `seconds` left."""
    await stop.wait()
    scope.deadline = trio.current_time() + seconds


async def on_signals(stop: trio.Event, scope: trio.CancelScope) -> None:
    """Ctrl-C: stop, and say what there is. Again: stop at once."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            if stop.is_set():
                scope.cancel()
            stop.set()


# ── from several processes ────────────────────────────────────────────────────────────────────


async def post_from_processes(plans: list[Plan], tally: Tally, stop: trio.Event) -> None:
    """Each plan from a process of its own: this program again, with --child."""
    async with trio.open_nursery() as nursery:
        for plan in plans:
            nursery.start_soon(_one_process, plan, tally, stop)


async def _one_process(plan: Plan, tally: Tally, stop: trio.Event) -> None:
    command = [sys.executable, sys.argv[0], "--child", json.dumps(asdict(plan))]
    # In a session of its own, Ctrl-C on a terminal reaches it once: through us.
    start = partial(
        trio.run_process, command, stdout=subprocess.PIPE, start_new_session=True, check=False
    )
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(start)
        nursery.start_soon(_pass_on, stop, process)
        assert process.stdout is not None
        rest = b""
        async for piece in process.stdout:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                news = json.loads(line)
                for ack in news["acks"]:
                    tally.add(Ack(*ack))
                tally.errors.update(news["errors"])
                tally.seconds = max(tally.seconds, news["seconds"])
        if await process.wait() != 0:
            tally.errors[f"a load process ended with {process.returncode}"] += 1
        nursery.cancel_scope.cancel()


async def _pass_on(stop: trio.Event, process: trio.Process) -> None:
    await stop.wait()
    process.send_signal(signal.SIGINT)


async def be_a_child(plan: Plan) -> None:
    """Post the plan, and write what is new to stdout, as JSON lines."""
    tally, stop = Tally(), trio.Event()

    def tell() -> None:
        news = {"acks": tally.acks, "errors": tally.errors, "seconds": tally.seconds}
        print(json.dumps(news), flush=True)
        tally.acks.clear()
        tally.errors.clear()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(on_signals, stop, nursery.cancel_scope)
        nursery.start_soon(every, TELL, tell)
        await post_all(plan, tally, stop)
        nursery.cancel_scope.cancel()
    tell()


async def every(seconds: float, call: Callable[[], None]) -> None:
    """`call()` every so many seconds, until cancelled."""
    while True:
        await trio.sleep(seconds)
        call()
