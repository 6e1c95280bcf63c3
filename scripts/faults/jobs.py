"""Handlers that behave badly."""

import time

from .fault import fault
from .load import Load, slowest, statuses
from .outcome import must
from .service import last_line, until
from .stage import Stage

THROWN = (
    "SystemExit",
    "KeyboardInterrupt",
    "BaseException",
    "GeneratorExit",
    "StopAsyncIteration",
    "RecursionError",
    "MemoryError",
    "a nested group with Cancelled",
    "unprintable",
    "huge",
    "odd letters",
)


@fault(
    f"handlers, in the loop and in threads, raise {', '.join(THROWN)}",
    "their jobs fail, and nothing else does",
    quick=True,
)
def thrown(stage: Stage) -> str:
    with stage.serve() as on:
        ids = {
            f"{what} ({type_})": on.post(type_, {"what": what})
            for what in THROWN
            for type_ in ("throw", "throw_in_thread")
        }
        for what, id_ in ids.items():
            job = on.reach(id_, "failed", "cancelled", "queued", "scheduled")
            must(job["state"] == "failed", f"{what}: {job['state']}")
            must(len(on.http.get(f"/jobs/{id_}").content) < 200_000, f"{what}: a huge error")
        return f"{len(ids)} failed; {on.sound()}"


@fault(
    "handlers swallow their cancellation, or hang in a thread: as many as there are slots",
    "their jobs time out and fail; their slots are replaced, others run; SIGTERM still ends it all",
)
def stuck(stage: Stage) -> str:
    slots = ("--concurrency", "4", "--threads", "2", "--cleanup-grace", "0.5")
    with stage.serve(*slots, "--shutdown-grace", "1") as on:
        ids = [on.post(type_) for type_ in ("swallow", "hang") for _ in range(2)]
        for id_ in ids:
            job = on.reach(id_, "failed")
            must(job["reason"] == "timeout", f"reason {job['reason']}")
        seen = on.sound()
        on.signal()
        return f"{len(ids)} timed out; {seen}; SIGTERM: exit 0 after {on.must_end(0, 3):.2f} s"


@fault(
    "a handler blocks the event loop for 7 s, more than twice the lease of 3 s",
    "no lease is lost and no job runs twice; the log shows where it blocks",
)
def blocked_loop(stage: Stage) -> str:
    with stage.serve("--lease", "3") as on:
        worker = on.post("work", {"seconds": 3})
        on.reach(worker, "running")
        blocker = on.post("block", {"seconds": 7})
        for id_ in (worker, blocker):
            job = on.reach(id_, "done")
            must(job["attempt"] == 1, f"attempt {job['attempt']}")
        must("the event loop has been blocked" in on.log, f"nothing in the log: {on.log[-300:]}")
        ran = (stage.directory / "executions").read_text().split()
        must(ran.count(worker) == 2, f"it ran anew: {ran}")
        return f"all ran once, the log names the line; {on.sound()}"


@fault(
    "a job ends its process, os._exit, each time that it is run; others wait beside it",
    "after three crashes it is set aside (failed, poison), and the others are done",
)
def killer(stage: Stage) -> str:
    with stage.serve() as on:
        bomb = on.post("explode", delay=0.3)
        others = [on.post("noop", delay=0.3) for _ in range(5)]
        on.must_end(9)
    for _ in range(2):
        with stage.serve(wait=False) as on:
            on.must_end(9)
    with stage.serve() as on:
        job = on.reach(bomb, "failed")
        must(job["reason"] == "poison", f"reason {job['reason']}")
        for id_ in others:
            on.reach(id_, "done")
        return f"poison after 3 crashes, {len(others)} others done; {on.sound()}"


@fault(
    "100 jobs leak an open file, a task and a thread each",
    "the service works on and ends when it is told to",
)
def leaks(stage: Stage) -> str:
    with stage.serve("--shutdown-grace", "1") as on:
        for id_ in [on.post("leak") for _ in range(100)]:
            on.reach(id_, "done")
        seen = on.sound()
        on.signal()
        return f"{seen}; SIGTERM: exit 0 after {on.must_end(0, 3):.2f} s"


@fault(
    "300 jobs fail at once, and again and again, ten times a second",
    "other jobs are taken and done meanwhile, each within 2 s",
)
def retry_storm(stage: Stage) -> str:
    with stage.serve() as on:
        storm = [{"type": "fail_fast"}] * 300
        on.http.post("/jobs", json=storm).raise_for_status()
        waits = []
        with Load(on) as load:
            for _ in range(10):
                start = time.monotonic()
                on.reach(on.post(), "done")
                waits.append(time.monotonic() - start)
        must({answer.status for answer in load.posts} == {201}, f"posts: {statuses(load.posts)}")
        must(max(waits) < 2, f"a job took {max(waits):.1f} s")
        until(
            lambda: on.http.get("/queues/default").json()["jobs"].get("failed") == 300,
            f"the storm does not end: {last_line(on.log)}",
            30.0,
        )
        return f"slowest job {max(waits):.2f} s, post {slowest(load.posts):.2f} s; {on.sound()}"
