"""Logs and reasons, through a service or past it. The test itself plays the worker."""

import json
import signal
import subprocess
import time

import pytest
import trio

from trio_jobs.job import Succeeded, Verdict
from trio_jobs.storage import open_visitor
from trio_jobs.storage.records import LogLine, Report, Settlement

from ..processes import ENVIRONMENT, running
from .conftest import COMMAND


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("idle")


@pytest.fixture(scope="module")
def service(directory):
    """A service that leaves the jobs to us."""
    with running(directory, "--no-worker") as service:
        yield service


@pytest.fixture
def work(directory):
    """Does something with the store of that service, for a moment."""

    def work(verb):
        async def visit():
            store = open_visitor(f"sqlite:///{directory / 'trio-jobs.db'}")
            async with trio.open_nursery() as nursery:
                await nursery.start(store.run)
                found = await verb(store)
                store.close()
            return found

        return trio.run(visit)

    return work


def claim(id_):
    async def verb(store):
        now = time.time()
        [job] = await store.claim("worker", ["noop"], 1, now, now + 60, queues={"work": 1})
        assert job.id == id_
        return job

    return verb


def say(job, *messages):
    async def verb(store):
        lines = [LogLine(time.time(), "INFO", message, 1) for message in messages]
        await store.report([Report(job.id, job.lease_token, None, lines)], time.time())

    return verb


def end(job):
    async def verb(store):
        await store.settle([Settlement.of(job.lease, Verdict.done(Succeeded()))], time.time())

    return verb


def test_logs_are_lines_of_json_or_text(service, place, work, ask):
    id_ = service.post("noop", queue="work")
    assert ask("logs", id_, *place).stdout == ""
    job = work(claim(id_))
    work(say(job, "first", "sécond"))
    lines = [json.loads(line) for line in ask("logs", id_, *place).stdout.splitlines()]
    assert [(line["n"], line["level"], line["message"]) for line in lines] == [
        (1, "INFO", "first"),
        (2, "INFO", "sécond"),
    ]
    table = ask("logs", id_, "-o", "table", *place).stdout.splitlines()
    assert table[1].endswith(" 1 INFO     sécond")
    assert len(json.loads(ask("logs", id_, "-o", "json", *place).stdout)) == 2
    work(end(job))


def test_logs_follow_a_job_to_its_end_and_then_stop(service, place, work, ask, tmp_path):
    id_ = service.post("noop", queue="work")
    job = work(claim(id_))
    work(say(job, "before"))
    process = subprocess.Popen(
        [*COMMAND, "logs", "-f", id_, "-o", "jsonl", *place],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert json.loads(process.stdout.readline())["message"] == "before"
        work(say(job, "while"))
        assert json.loads(process.stdout.readline())["message"] == "while"
        work(say(job, "last"))
        work(end(job))
        rest = [json.loads(line)["message"] for line in process.stdout]
        assert rest == ["last"], "nothing twice, nothing lost"
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    again = ask("logs", "-f", id_, *place)
    assert len(again.stdout.splitlines()) == 3, "a job that has ended keeps nobody waiting"


def test_why_names_what_stands_in_the_way(service, place, work, ask):
    later = service.post("noop", delay=3_600)
    found = json.loads(ask("why", later, *place).stdout)
    assert found["state"] == "scheduled"
    assert "scheduled" in [reason["code"] for reason in found["reasons"]]
    table = ask("why", later, "-o", "table", *place).stdout
    assert f"{later} is scheduled." in table
    assert "in 60 min" in table
    now = service.post("noop", queue=f"why-{place[0]}")
    found = json.loads(ask("why", now, *place).stdout)
    # Only the process itself knows that it runs no jobs.
    assert [reason["code"] for reason in found["reasons"]] == (
        ["no_worker"] if place[0] == "--server" else []
    )


def test_ctrl_c_ends_a_follow_and_is_no_accident(service, place, work, tmp_path):
    id_ = service.post("noop", queue="work")
    job = work(claim(id_))
    work(say(job, "it follows"))
    process = subprocess.Popen(
        [*COMMAND, "logs", "-f", id_, *place],
        cwd=tmp_path,
        env=ENVIRONMENT | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert "it follows" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, said) == (130, "")
    work(end(job))
