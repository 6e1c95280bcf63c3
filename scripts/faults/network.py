"""Clients that are slow, or gone, or many."""

import resource
import socket
import struct
import time
from contextlib import ExitStack

from .fault import fault
from .load import Load, slowest, statuses
from .outcome import must
from .service import PATIENCE, Service, until
from .stage import Stage

STREAMS = 5_000
CROWD = 200
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a RST


def unharmed(on: Service, load: Load) -> str:
    """Everybody else was served in time."""
    answers = load.posts + load.reads
    must({answer.status for answer in answers} <= {200, 201}, statuses(answers))
    must(slowest(answers) < 2, f"an answer took {slowest(answers):.1f} s")
    return f"others: {statuses(answers)}, slowest {slowest(answers):.2f} s; {on.sound()}"


@fault(
    f"{CROWD} clients send a byte of a request a second, and {CROWD} read nothing of their answers",
    "they are cut off after their time (2 s here); all others are served meanwhile",
)
def slow_clients(stage: Stage) -> str:
    times = ("--head-timeout", "2", "--body-timeout", "2", "--send-timeout", "2")
    with stage.serve(*times) as on, ExitStack() as stack:
        on.http.post("/jobs", json=[{"type": "noop"}] * 500).raise_for_status()
        writers, readers = [
            [stack.enter_context(socket.create_connection(on.address)) for _ in range(CROWD)]
            for _ in range(2)
        ]
        for client in readers:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.sendall(b"GET /jobs?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        with Load(on) as load:
            for byte in b"GET /":
                for client in writers:
                    try:
                        client.send(bytes([byte]))
                    except OSError:
                        continue
                time.sleep(1)
        open_ = sum(is_open(client) for client in writers)
        must(not open_, f"{open_} slow writers are still connected")
        return unharmed(on, load)


def is_open(client: socket.socket) -> bool:
    client.settimeout(0.01)
    try:
        while client.recv(4_096):
            pass
    except TimeoutError:
        return True
    except OSError:
        return False
    return False


@fault(
    f"{CROWD} clients a second break off within a request or an answer, half of them with a reset",
    "nobody else notices, and no descriptor is left behind",
)
def broken_off(stage: Stage) -> str:
    with stage.serve() as on:
        on.http.get("/livez")
        before = on.descriptors()
        with Load(on) as load:
            for number in range(3 * CROWD):
                with socket.create_connection(on.address) as client:
                    if number % 2:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    client.sendall(
                        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Le"[: number + 1]
                    )
                    if number % 3 == 0:
                        client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                time.sleep(1 / CROWD)
        until(lambda: on.descriptors() <= before + 5, f"descriptors stay open, {before} before")
        return f"{before} descriptors before, {on.descriptors()} after; {unharmed(on, load)}"


@fault(
    f"{STREAMS:,} idle event streams, or as many as this machine's descriptors allow",
    "all others are served as before; SIGTERM ends it within the grace (1 s) and 2 s",
)
def idle_streams(stage: Stage) -> str:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    streams = min(STREAMS, most - 200)
    with stage.serve("--shutdown-grace", "1") as on, ExitStack() as stack:
        path = f"/jobs/{on.post(delay=3_600)}/events"
        for _ in range(streams):
            client = stack.enter_context(socket.create_connection(on.address))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        client.settimeout(PATIENCE)
        must(client.recv(20).startswith(b"HTTP/1.1 200"), "a stream was refused")
        with Load(on) as load:
            time.sleep(2)
        seen = unharmed(on, load)
        on.signal()
        took = on.must_end(0)
        must(took <= 3, f"it took {took:.2f} s")
        return f"{streams:,} streams; {seen}; exit 0 after {took:.2f} s"
