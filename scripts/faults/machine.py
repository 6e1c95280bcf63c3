"""The process is stopped, its clock is set, or there is too little of something."""

import os
import signal
import socket
import time
from contextlib import ExitStack

import httpx

from .fault import fault
from .load import Load, slowest, statuses
from .outcome import must
from .service import until
from .stage import Stage

HOURS = 3 * 3_600


@fault(
    "SIGSTOP for longer than the lease while jobs run, then SIGCONT (--pause)",
    "it goes on: no job is lost, none runs twice, no attempt is charged twice",
)
def stopped(stage: Stage) -> str:
    lease = max(1.0, stage.pause / 2)
    with stage.serve("--lease", f"{lease:g}") as on:
        ids = [on.post("work", {"seconds": 1}) for _ in range(20)]
        on.reach(ids[-1], "running")
        on.signal(signal.SIGSTOP)
        time.sleep(stage.pause)
        on.signal(signal.SIGCONT)
        resumed = time.monotonic()
        seen = on.sound()
        for id_ in ids:
            must(on.get(id_)["state"] == "done", f"{id_} is {on.get(id_)['state']}")
        begins = (stage.directory / "executions").read_text().count("begin")
        must(begins == len(ids), f"{len(ids)} jobs began {begins} times")
        return (
            f"stopped for {stage.pause:g} s with a lease of {lease:g} s, sound "
            f"{time.monotonic() - resumed:.2f} s after; {len(ids)} jobs ran once each; {seen}"
        )


@fault(
    "the clock jumps 3 hours ahead, and then 6 hours back, while jobs run",
    "running jobs end as they would have, and run once; new ones are run at once",
    quick=True,
)
def clock_steps(stage: Stage) -> str:
    shim = stage.shim()
    with stage.serve("--lease", "3", environment=shim.environment) as on:
        ids = []
        for hours in (HOURS, -HOURS, 0):
            ids += [on.post("work", {"seconds": 1.5}) for _ in range(5)]
            on.reach(ids[-1], "running")
            shim.tell(clock_step=hours)
            on.reach(on.post(), "done", within=2)
        for id_ in ids:
            on.reach(id_, "done")
        begins = (stage.directory / "executions").read_text().count("begin")
        must(begins == len(ids), f"{len(ids)} jobs began {begins} times")
        return f"{len(ids)} jobs ran once each; {on.sound()}"


@fault(
    "300 connections where the process may have 150 descriptors",
    "it lives, and serves again as soon as there are descriptors; jobs go on",
)
def no_descriptors(stage: Stage) -> str:
    few = ("sh", "-c", 'ulimit -n 150; exec "$@"', "sh")
    with stage.serve(before=few) as on:
        running = on.post("work", {"seconds": 1})
        with ExitStack() as crowd:
            for _ in range(300):
                crowd.enter_context(socket.create_connection(on.address))
            time.sleep(2)
        start = time.monotonic()
        until(lambda: answers(on.url), "it does not serve again")
        again = time.monotonic() - start
        on.reach(running, "done")
        return f"served again after {again:.2f} s; {on.sound()}"


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", timeout=1, trust_env=False).is_success
    except httpx.TransportError:
        return False


@fault(
    "no thread can be started for 3 s, under load",
    "who needs a new one is refused; it works on afterwards, nothing is lost; SIGTERM stops it",
)
def no_threads(stage: Stage) -> str:
    shim = stage.shim()
    with stage.serve(environment=shim.environment) as on:
        shim.tell(no_threads=1)
        with Load(on) as load:
            time.sleep(3)
            shim.tell(no_threads=0)
            freed = time.monotonic()
            until(lambda: any(p.status == 201 and p.at > freed for p in load.posts), "no recovery")
        wrong = {answer.status for answer in load.posts} - {201, 500, 503}
        must(not wrong, f"posts: {statuses(load.posts)}")
        seen = f"posts {statuses(load.posts)}, reads {statuses(load.reads)}; {on.sound()}"
        shim.tell(no_threads=1)
        on.signal()
        return f"{seen}; SIGTERM without threads: exit 0 after {on.must_end(0, 3):.2f} s"


@fault(
    "stdout and stderr are a pipe that nobody reads, and it is full",
    "lines are lost, nothing else: posts, jobs and the stop are as quick as ever",
    quick=True,
)
def blocked_stdout(stage: Stage) -> str:
    reader, writer = os.pipe()
    with stage.serve("--access-log", stdout=writer, stderr=writer) as on:
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x" * 4_096)
        except BlockingIOError:
            os.set_blocking(writer, True)
        with Load(on) as load:
            time.sleep(1)
        must({answer.status for answer in load.posts} == {201}, f"posts: {statuses(load.posts)}")
        seen = on.sound()
        on.signal()
        took = on.must_end(0, 3)
    os.close(reader)
    os.close(writer)
    return f"slowest post {slowest(load.posts):.2f} s; {seen}; SIGTERM: exit 0 after {took:.2f} s"


@fault(
    "whoever reads stdout and stderr goes away (SIGPIPE), under load",
    "lines are lost, nothing else",
)
def broken_pipe(stage: Stage) -> str:
    reader, writer = os.pipe()
    with stage.serve("--access-log", stdout=writer, stderr=writer) as on:
        os.close(writer)
        os.close(reader)
        with Load(on) as load:
            time.sleep(1)
            on.signal(signal.SIGPIPE)
            time.sleep(0.5)
        must({answer.status for answer in load.posts} == {201}, f"posts: {statuses(load.posts)}")
        seen = on.sound()
        on.signal()
        return f"{seen}; SIGTERM: exit 0 after {on.must_end(0, 3):.2f} s"


@fault(
    "SIGHUP while jobs run: its terminal is gone",
    "it may end at once, as after a kill: jobs run again at the next start, nothing is lost",
)
def hangup(stage: Stage) -> str:
    with stage.serve() as on:
        ids = [on.post("work", {"seconds": 1}) for _ in range(5)]
        on.reach(ids[-1], "running")
        on.signal(signal.SIGHUP)
        on.process.wait(5)
        code = on.process.returncode
    with stage.serve() as on:
        start = time.monotonic()
        for id_ in ids:
            on.reach(id_, "done")
        return f"exit {code}; done {time.monotonic() - start:.2f} s after a start; {on.sound()}"
