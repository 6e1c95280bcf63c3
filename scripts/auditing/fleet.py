"""Several processes of the service on one database, which are killed and started again."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from .job_processes import job_processes

PATIENCE = 30.0  # seconds to wait for a process to serve

TASKS = '''
import os, time
import trio
from trio_jobs import Ctx, Jobs

app = Jobs()
LEDGER = os.open("executions", os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(what: str, ctx: Ctx) -> None:
    """One write of one line: nothing that a kill could cut in two."""
    os.write(LEDGER, f"{what} {ctx.job_id} {ctx.attempt} {os.getpid()} {time.time()}\\n".encode())


@app.job(max_attempts=1_000)
async def work(p: dict[str, float], ctx: Ctx) -> int:
    note("begin", ctx)
    await trio.sleep(p["seconds"])
    note("end", ctx)
    return ctx.attempt


@app.job(max_attempts=1_000, isolation="process", backoff=[0.1])
def apart(p: dict[str, float], ctx: Ctx) -> int:
    note("begin", ctx)
    time.sleep(p["seconds"])
    note("end", ctx)
    return ctx.attempt
'''


@dataclass
class Member:
    """One process; `url` stays the same over all its lives."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    lives: int = 1


@dataclass
class Fleet:
    """`count` processes in `directory`, serving `database`."""

    directory: Path
    database: str
    count: int
    lease: float
    members: list[Member] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)  # when, in Unix seconds

    def start(self) -> None:
        """Returns when all of them serve."""
        (self.directory / "tasks.py").write_text(TASKS)
        for number in range(self.count):
            port = free_port()
            log = self.directory / f"log-{number}"
            self.members.append(Member(f"http://127.0.0.1:{port}", self._launch(port, log), log))
        for member in self.members:
            until_it_serves(member.url, member.log)

    def kill_one(self, dice: random.Random) -> None:
        """Kills one of them, at random, and starts it again at once; or, now and then, only the
        process in which it runs a job."""
        member = dice.choice(self.members)
        self.kills.append(time.time())
        if dice.random() < 0.25 and (apart := job_processes(member.process.pid)):
            with suppress(ProcessLookupError):
                os.kill(dice.choice(apart), signal.SIGKILL)
            return
        member.process.kill()
        member.process.wait()
        member.process = self._launch(int(member.url.rpartition(":")[2]), member.log)
        member.lives += 1

    def stop(self) -> list[int]:
        """Tells all of them to stop; how they exited."""
        for member in self.members:
            member.process.send_signal(signal.SIGTERM)
        return [member.process.wait(60) for member in self.members]

    def abandon(self) -> None:
        """Whatever is left of them."""
        for member in self.members:
            member.process.kill()
            member.process.wait()

    def _launch(self, port: int, log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "trio_jobs", "serve", "tasks:app", "--shared"),
                    *("--bind", f"127.0.0.1:{port}", "--database", self.database),
                    *("--lease", str(self.lease), "--concurrency", "32", "--keep", "done=forever"),
                ],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )


def free_port() -> int:
    """One of this machine, on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def until_it_serves(url: str, log: Path) -> None:
    """Returns then. Raises RuntimeError with the end of its log when it takes too long."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/livez", timeout=1, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError(f"it does not serve: {log.read_text()[-2000:]}")
