"""What a service with tokens and full queues says arrives as errors that one can act on."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from trio_jobs.client import Forbidden, Unauthorized, Unavailable

from ..processes import ENVIRONMENT, Service, running

TOKEN = (sys.executable, "-m", "trio_jobs", "token", "create")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guarded")


@pytest.fixture(scope="module")
def tokens(directory: Path) -> dict[str, str]:
    """Scope -> a token that is good for it alone."""

    def made(scope: str) -> str:
        command = (*TOKEN, "client", "--scope", scope, "--database", "sqlite:///trio-jobs.db")
        done = subprocess.run(
            command, cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    subprocess.run(
        (sys.executable, "-m", "trio_jobs", "migrate"), cwd=directory, env=ENVIRONMENT, check=True
    )
    return {scope: made(scope) for scope in ("jobs:read", "jobs:write", "admin")}


@pytest.fixture(scope="module")
def guarded(directory: Path, tokens: dict[str, str]) -> Iterator[Service]:
    with running(directory, "--auth", "required", "--max-queued", "5", "--no-worker") as service:
        yield service


async def test_without_a_good_token_each_call_is_unauthorized(connect, guarded):
    for token in (None, "tj_nonsense"):
        jobs = connect(guarded.url, token)
        for call in (jobs.enqueue("noop"), jobs.get("x"), jobs.queues()):
            with pytest.raises(Unauthorized, match="token"):
                await call


async def test_a_token_for_something_else_is_forbidden_for_each_job_of_an_array(
    connect, guarded, tokens
):
    reader = connect(guarded.url, tokens["jobs:read"])
    refused = []

    async def enqueue() -> None:
        with pytest.raises(Forbidden):
            await reader.enqueue("noop")
        refused.append(1)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(enqueue)
    assert len(refused) == 20
    writer = connect(guarded.url, tokens["jobs:write"])
    job = await writer.enqueue("noop", queue="other")
    with pytest.raises(Forbidden):
        await writer.get(job.id)
    assert (await reader.get(job.id)).id == job.id


async def test_a_full_queue_refuses_its_own_jobs_and_no_others_that_travel_along(
    connect, guarded, tokens, queue
):
    jobs = connect(guarded.url, tokens["admin"], timeout=2)
    for _ in range(5):
        await jobs.enqueue("noop", queue=queue)
    stored: list[str] = []
    refused: list[Unavailable] = []

    async def enqueue(there: str) -> None:
        try:
            stored.append((await jobs.enqueue("noop", queue=there)).queue)
        except Unavailable as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        for n in range(10):
            nursery.start_soon(enqueue, queue if n % 2 else f"{queue}-{n}")
    assert sorted(stored) == [f"{queue}-{n}" for n in range(0, 10, 2)]
    assert {error.kind for error in refused} == {"queue-full"}
    assert all(error.retry_after for error in refused)
