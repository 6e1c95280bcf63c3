"""Calls that run at the same time share requests, and nothing else."""

import re

import trio

from trio_jobs.client import ApiError, Invalid

from .conftest import until


def requests(service) -> int:
    """How many POST /jobs the service has answered."""
    text = service.http.get("/metrics").text
    pattern = r'request_duration_seconds_count\{[^}]*method="POST",route="/jobs"[^}]*\} (\S+)'
    return sum(int(float(number)) for number in re.findall(pattern, text))


async def _all(jobs, wishes):
    """What each of them gets, all at once: a job or an error."""
    got = [None] * len(wishes)

    async def one(index, type_, options):
        try:
            got[index] = await jobs.enqueue(type_, **options)
        except ApiError as error:
            got[index] = error

    async with trio.open_nursery() as nursery:
        for index, (type_, options) in enumerate(wishes):
            nursery.start_soon(one, index, type_, options)
    return got


async def test_calls_at_the_same_time_share_requests(jobs, service):
    before = requests(service)
    got = await _all(jobs, [("noop", {"input": {"n": n}}) for n in range(60)])
    assert [job.input["n"] for job in got] == list(range(60))
    assert requests(service) - before < 40


async def test_a_client_may_choose_not_to(connect, service):
    before = requests(service)
    await _all(connect(service.url, coalesce=False), [("noop", {}) for _ in range(20)])
    assert requests(service) - before == 20


async def test_a_bad_job_fails_its_own_caller_only(jobs, queue, count):
    wishes = [("noop", {"queue": queue, "delay": 60}) for _ in range(30)]
    wishes[11] = ("what", {})
    wishes[17] = ("noop", {"queue": "not a name"})
    got = await _all(jobs, wishes)
    assert [n for n, one in enumerate(got) if isinstance(one, Invalid)] == [11, 17]
    assert "what" in str(got[11])
    assert count() == 28


async def test_large_jobs_travel_too(jobs, queue, count):
    big = {"input": "x" * 70_000, "queue": queue, "delay": 60}
    assert len(await _all(jobs, [("noop", big) for _ in range(5)])) == count() == 5


async def test_who_waits_for_the_end_holds_nobody_up(jobs, service, queue):
    ended = []

    async def slow():
        ended.append(await jobs.enqueue("sleep", {"seconds": 30}, queue=queue, wait=20))

    def running():
        return service.http.get(f"/jobs?queue={queue}&state=running").json()["jobs"]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(slow)
        await until(running)
        await jobs.enqueue("noop")
        assert not ended
        await jobs.cancel(running()[0]["id"])
    assert ended[0].state == "cancelled"
