"""What breaks on the way breaks no promise: jobs land once, and no move is made twice."""

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from trio_jobs.client import Client, TimedOut, Unavailable, Unreachable

from ..processes import running
from .conftest import NOBODY, until
from .proxy import through

CLOSE = b""
BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: %d\r\nContent-Length: 0\r\n\r\n"
UNCERTAIN = (
    b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 30\r\n\r\n"
    b'{"type":"/problems/uncertain"}'
)


class Played:
    """A service that answers every request with the same bytes, or with silence (None)."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.url = ""

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            if not (head := await stream.receive_some()):
                return
            self.heads.append(head)
            if self.answer is None:
                await trio.sleep_forever()
            await stream.send_all(self.answer)

    def keys(self) -> set[bytes]:
        return {
            line.partition(b":")[2].strip()
            for head in self.heads
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"idempotency-key:")
        }


@asynccontextmanager
async def played(answer: bytes | None) -> AsyncIterator[Played]:
    service = Played(answer)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        service.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.start_soon(trio.serve_listeners, service.serve, [listener])
        yield service
        nursery.cancel_scope.cancel()


async def test_nobody_there_is_unreachable_once_the_time_is_over(connect):
    with socket.socket() as bound:  # not listening: nobody else can
        bound.bind(("127.0.0.1", 0))
        jobs = connect(f"http://127.0.0.1:{bound.getsockname()[1]}", timeout=0.3)
        began = time.monotonic()
        with pytest.raises(Unreachable) as caught:
            await jobs.enqueue("noop")
    assert 0.05 < time.monotonic() - began < 2  # two tries more, after 25 and 50 ms at least
    assert not caught.value.maybe_done


async def test_silence_times_out(connect):
    async with played(None) as service:
        jobs = connect(service.url, timeout=0.2)
        with pytest.raises(TimedOut) as caught:
            await jobs.enqueue("noop")
        assert caught.value.maybe_done
        with pytest.raises(TimedOut):
            await jobs.wait(NOBODY, timeout=0.1)


async def test_an_enqueue_that_is_cut_off_comes_again_under_the_same_key(connect):
    for options in ({}, {"unique_key": "k"}):
        async with played(CLOSE) as service:
            with pytest.raises(Unreachable) as caught:
                await connect(service.url, timeout=0.5).enqueue("noop", **options)
            assert caught.value.maybe_done
            assert len(service.heads) > 1
            assert len(service.keys()) == 1


async def test_a_move_that_may_have_been_made_is_not_made_again(connect):
    for answer in (CLOSE, UNCERTAIN):
        async with played(answer) as service:
            jobs = connect(service.url, timeout=0.3)
            for move in (jobs.retry(NOBODY), jobs.purge("default"), jobs.amend(NOBODY, priority=1)):
                service.heads.clear()
                with pytest.raises((Unreachable, Unavailable)) as caught:
                    await move
                assert caught.value.maybe_done
                assert len(service.heads) == 1


async def test_what_is_refused_for_now_is_asked_again_until_it_cannot_be_in_time(connect):
    async with played(BUSY % 0) as service:
        with pytest.raises(Unavailable):
            await connect(service.url, timeout=0.4).cancel(NOBODY)
        assert len(service.heads) > 1
    async with played(BUSY % 60) as service:
        began = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await connect(service.url, timeout=20).enqueue("noop")
        assert caught.value.retry_after == 60
        assert time.monotonic() - began < 5


async def test_a_job_that_was_removed_by_a_broken_try_is_no_error(connect, service):
    job = service.post("noop")
    service.wait_for(job, "done")
    async with through(service.url) as proxy:
        proxy.held = trio.Event()
        jobs = connect(proxy.url)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(jobs.remove, job)
            await proxy.has_request.wait()
            await until(lambda: service.http.get(f"/jobs/{job}").status_code == 404)
            proxy.cut_all()
            proxy.held.set()


async def test_events_go_on_where_they_were_cut_off(connect, service, queue):
    async with through(service.url) as proxy:
        jobs = connect(proxy.url)
        job = service.post("noop", queue=queue, delay=60)
        names = []
        async with jobs.events(job) as events:
            names.append((await anext(events)).name)
            proxy.cut_all()
            service.http.post(f"/jobs/{job}/run-now")
            with trio.fail_after(10):
                names += [event.name async for event in events]
    assert names == ["job.scheduled", "job.queued", "job.started", "job.done"]


@pytest.fixture
def in_haste(monkeypatch):
    """Pauses between tries are short, so that there may be more tries."""
    monkeypatch.setattr("trio_jobs.client.caller.LONGEST", 0.05)


@pytest.mark.usefixtures("in_haste")
@pytest.mark.parametrize("seed", [1, 2])
async def test_every_enqueue_lands_once_over_a_bad_network(connect, service, queue, count, seed):
    await _flood(connect, service, queue, seed, tasks=20, each=5, faults=10)
    assert count() == 100 + 2 * 50


@pytest.mark.slow
@pytest.mark.usefixtures("in_haste")
@pytest.mark.parametrize("seed", range(3, 13))
async def test_every_one_of_many_lands_once(connect, service, queue, count, seed):
    await _flood(connect, service, queue, seed, tasks=50, each=40, faults=30)
    assert count() == 2_000 + 2 * 50


@pytest.mark.slow
async def test_a_service_that_is_killed_and_comes_back_is_waited_for(connect, tmp_path):
    with running(tmp_path, "--no-worker") as service:
        port = service.url.rpartition(":")[2]
        jobs = connect(service.url)
        ids = set()

        async def produce() -> None:
            for _ in range(50):
                ids.add((await jobs.enqueue("noop")).id)

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(produce)
            await until(lambda: len(ids) > 50)
            service.process.kill()
            service.process.wait()
            with running(tmp_path, "--no-worker", "--bind", f"127.0.0.1:{port}") as revived:
                await until(lambda: len(ids) == 500)
                (queue,) = revived.http.get("/queues").json()["queues"]
        assert sum(queue["jobs"].values()) == 500


async def test_a_leader_that_is_cancelled_leaves_its_batch_to_others(service, queue, count):
    async with through(service.url) as proxy, Client(proxy.url) as jobs:
        proxy.held = trio.Event()
        ids: list[str] = []

        async def enqueue() -> None:
            ids.append((await jobs.enqueue("noop", queue=queue, delay=60)).id)

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                async with trio.open_nursery() as leavers:
                    leavers.start_soon(enqueue)
                    await trio.testing.wait_all_tasks_blocked()  # it leads
                    for _ in range(9):
                        leavers.start_soon(enqueue)
                    for _ in range(10):
                        nursery.start_soon(enqueue)
                    await until(lambda: count() == 20)
                    leavers.cancel_scope.cancel()
                proxy.held.set()
        assert len(ids) == 10
        assert count() == 20  # those who left were under way already


async def _flood(connect, service, queue, seed, *, tasks, each, faults) -> None:
    """Enqueues tasks * each jobs one by one, 50 as uploads, and 50 in lines."""
    async with through(service.url, faults, seed) as proxy:
        jobs = connect(proxy.url, timeout=60)
        ids: list[str] = []

        async def produce() -> None:
            for n in range(each):
                job = await jobs.enqueue("noop", {"n": n}, queue=queue, delay=600)
                ids.append(job.id)

        async def upload() -> None:
            for _ in range(50):
                asked = {"params": {"operation": "count"}, "queue": queue, "delay": 600}
                job = await jobs.upload("process_file", b"x", **asked)
                ids.append(job.id)

        async def lines() -> None:
            wishes = [{"type": "noop", "queue": queue, "delay": 600} for _ in range(50)]
            assert (await jobs.enqueue_many(wishes)).created == 50

        with trio.fail_after(50):
            async with trio.open_nursery() as nursery:
                for _ in range(tasks):
                    nursery.start_soon(produce)
                nursery.start_soon(upload)
                nursery.start_soon(lines)
        assert len(set(ids)) == len(ids) == tasks * each + 50
        assert proxy.faults < faults / 2  # it was a bad network
