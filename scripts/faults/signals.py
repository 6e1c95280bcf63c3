"""Told to stop: by SIGTERM at any time, by Ctrl-C on a terminal."""

import fcntl
import os
import pty
import socket
import subprocess
import termios
import threading
import time
from contextlib import ExitStack, suppress

from .fault import fault
from .outcome import must
from .stage import Stage

CLIENTS = 50


@fault("SIGTERM to an idle service", "exit 0 within 1 s", quick=True)
def sigterm_idle(stage: Stage) -> str:
    with stage.serve() as on:
        on.sound()
        on.signal()
        took = on.must_end(0, 5)
    must(took <= 1, f"it took {took:.2f} s")
    return f"exit 0 after {took:.2f} s"


@fault(
    f"SIGTERM with long jobs, {CLIENTS} event streams and {CLIENTS} clients that never read",
    "exit 0 within the grace (1 s) and 2 s; the jobs are handed back without charge",
)
def sigterm_loaded(stage: Stage) -> str:
    with stage.serve("--shutdown-grace", "1") as on, ExitStack() as clients:
        on.http.post("/jobs", json=[{"type": "noop"}] * 500).raise_for_status()
        ids = [on.post("work", {"seconds": 60}) for _ in range(10)]
        on.reach(ids[-1], "running")
        for path in ("/events", "/jobs?limit=500"):
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            for _ in range(CLIENTS):
                client = clients.enter_context(socket.create_connection(on.address))
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                client.sendall(request * (1 if path == "/events" else 20))
        time.sleep(0.5)
        on.signal()
        took = on.must_end(0)
    must(took <= 3, f"it took {took:.2f} s")
    with stage.serve("--no-worker") as on:
        handed_back = [on.get(id_) for id_ in ids]
        must({job["state"] for job in handed_back} == {"queued"}, "a job was not handed back")
        must({job["attempt"] for job in handed_back} == {0}, "an attempt was charged")
    return f"exit 0 after {took:.2f} s; {len(ids)} jobs handed back, uncharged"


@fault(
    "SIGTERM at 12 moments of the first 0.8 s, in which it starts and makes its tables",
    "it exits; the next start finds a database in order",
)
def sigterm_start(stage: Stage) -> str:
    codes = []
    for moment in range(12):
        with stage.serve(wait=False) as on:
            time.sleep(moment * 0.07)
            on.signal()
            with suppress(subprocess.TimeoutExpired):
                on.process.wait(5)
            must(on.process.returncode is not None, f"it runs on (moment {moment})")
            codes.append(on.process.returncode)
        with stage.serve() as on:
            on.sound()
            on.signal()
            on.must_end(0)
        for file in stage.directory.glob("jobs.db*"):
            if file.is_file():
                file.unlink()
        stage.acknowledged.clear()
    return f"exit codes {', '.join(map(str, codes))}; each next start was sound"


@fault(
    "one, two and three Ctrl-C on a real terminal, while a job runs and one ignores everything",
    "one: waits for the job, exit 0; two: hands it back at once, exit 0; three: exit 130 at once",
)
def ctrl_c(stage: Stage) -> str:
    seen = []
    for presses, code, at_most in ((1, 0, 5.0), (2, 0, 2.0), (3, 130, 1.0)):
        controller, terminal = pty.openpty()
        options = ("--shutdown-grace", "20", "--cleanup-grace", "0.5" if presses < 3 else "20")
        streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
        with stage.serve(
            *options, **streams, start_new_session=True, preexec_fn=take_terminal
        ) as on:
            os.close(terminal)
            threading.Thread(target=read_on, args=(controller,), daemon=True).start()
            id_ = on.post("work", {"seconds": 2 if presses == 1 else 60})
            on.reach(id_, "running")
            if presses == 3:
                on.reach(on.post("swallow", timeout=60), "running")
            for _ in range(presses):
                os.write(controller, b"\x03")
                time.sleep(0.1)
            took = on.must_end(code)
            must(took <= at_most, f"{presses} Ctrl-C: it took {took:.2f} s")
            seen.append(f"{presses}: exit {code} after {took:.2f} s")
    return ", ".join(seen)


def take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def read_on(controller: int) -> None:
    """What it prints; until it has gone."""
    with suppress(OSError):
        while os.read(controller, 4_096):
            pass
    os.close(controller)
