"""Servers of our own for the time of a run: the service, and the echo it is compared with."""

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

START = 20.0  # seconds a server has to say where it serves
STOP = 45.0  # seconds it has to stop: its own grace is 25, and its watchdog ends it after 35

SERVICE = ["-m", "trio_jobs", "serve", "--bind", "127.0.0.1:0"]
SERVICE += ["--database", "sqlite:///jobs.db", "--data-dir", "data"]
ECHO = [str(Path(sys.argv[0]).absolute()), "--echo-server"]


class NotServing(Exception):
    """No server is there, or it did not start; the message says what is known."""


class Server:
    """A server process: where it serves and, once it has been stopped, its exit code."""

    def __init__(self, arguments: list[str], directory: str) -> None:
        self.url = ""
        self._log = Path(directory, "log")
        with self._log.open("wb") as log:
            # In a session of its own: Ctrl-C on a terminal is for us, and the audit comes first.
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]

    async def ready(self) -> None:
        """Returns when it says where it serves; NotServing when it ends before, or never does."""
        with trio.move_on_after(START):
            while self.process.poll() is None:
                if found := re.search(r"serving on (http[^\s\"]+)", self.last_words()):
                    self.url = found[1]
                    return
                await trio.sleep(0.02)
        raise NotServing(f"the server did not start:\n{self.last_words()}")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that ignores it."""
        self.process.terminate()
        try:
            self.process.wait(STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@asynccontextmanager
async def running(arguments: list[str]) -> AsyncIterator[Server]:
    """Python with these arguments, as a server in a temporary directory; stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="load-test-") as directory:
        server = Server(arguments, directory)
        try:
            await server.ready()
            yield server
        finally:
            with trio.CancelScope(shield=True):  # bounded by STOP
                await trio.to_thread.run_sync(server.stop)


async def serve_echo() -> None:
    """A quart-trio app that answers a JSON post with the same JSON, under stock hypercorn."""
    from hypercorn.config import Config
    from hypercorn.trio import serve
    from quart import Response, request
    from quart_trio import QuartTrio

    app = QuartTrio("echo", static_folder=None)

    @app.post("/jobs")
    async def echo() -> Response:
        return Response(await request.get_data(), 200, content_type="application/json")

    async def until_told() -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                return

    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.loglevel = "ERROR"
    async with trio.open_nursery() as nursery:
        # hypercorn's types know ASGI apps only by protocols that Quart's do not spell the same.
        start = partial(serve, app, config, shutdown_trigger=until_told)  # type: ignore[arg-type]
        binds = await nursery.start(start)
        print(f"serving on {binds[0]}", flush=True)
