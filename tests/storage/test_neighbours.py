"""Processes on one file hear of each other's work at once, and a dead one bothers nobody."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from trio_jobs.storage.doorbell import Doorbell
from trio_jobs.storage.neighbours import PREFIX, Neighbours

from ..conftest import EPOCH
from .conftest import SqliteBackend
from .jobs import claim_one, new_job


@pytest.fixture
def database(tmp_path: Path) -> Path:
    (tmp_path / "jobs.db.workers").mkdir()
    return tmp_path / "jobs.db"


@asynccontextmanager
async def listening(
    database: Path, letters: str = "jcx", *, loud: bool = True
) -> AsyncIterator[tuple[Neighbours, dict[str, Doorbell]]]:
    bells = {letter: Doorbell() for letter in letters}
    neighbours = Neighbours(database, bells, loud=loud)
    async with trio.open_nursery() as nursery:
        await nursery.start(neighbours.run)
        yield neighbours, bells
        nursery.cancel_scope.cancel()


async def test_a_ring_reaches_the_others_and_not_oneself(database: Path) -> None:
    async with (
        listening(database) as (ringer, mine),
        listening(database) as (_, bells),
        listening(database, "") as (visitor, _),
    ):
        with trio.fail_after(5):
            ringer.ring("j")
            assert await bells["j"].wait()
            visitor.ring("jc")
            assert await bells["c"].wait()
            assert await mine["c"].wait()
        assert not await bells["x"].wait(0)


async def test_rings_in_quick_succession_are_one_and_the_last_is_not_forgotten(
    database: Path,
) -> None:
    async with listening(database) as (ringer, _), listening(database) as (_, bells):
        with trio.fail_after(5):
            ringer.ring("j")
            await bells["j"].wait()
            for _ in range(1_000):
                ringer.ring("x")
            await bells["x"].wait()
            ringer.ring("c")
            await bells["c"].wait()


async def test_who_owns_the_file_alone_rings_nobody_and_hears_visitors(database: Path) -> None:
    async with (
        listening(database, loud=False) as (owner, _),
        listening(database) as (_, others),
    ):
        owner.ring("j")
        assert not await others["j"].wait(0.01)
    async with listening(database, loud=False) as (_, bells), listening(database, "") as (cli, _):
        cli.ring("j")
        with trio.fail_after(5):
            await bells["j"].wait()


async def test_the_pipe_of_a_dead_process_is_removed_and_a_full_one_delays_nobody(
    database: Path,
) -> None:
    workers = database.with_name("jobs.db.workers")
    dead, full = workers / f"{PREFIX}dead", workers / f"{PREFIX}full"
    os.mkfifo(dead)
    os.mkfifo(full)
    reader = os.open(full, os.O_RDWR | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(reader, b"j" * 4_096)
    async with listening(database) as (ringer, _):
        ringer.ring("j")
        assert not dead.exists()
        assert full.exists()
    os.close(reader)
    assert [file.name for file in workers.iterdir()] == [full.name]


async def test_without_pipes_a_process_works_all_the_same(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def mkfifo(*_: object) -> None:
        raise PermissionError("not on this file system")

    monkeypatch.setattr(os, "mkfifo", mkfifo)
    async with listening(database) as (ringer, _):
        ringer.ring("j")
    assert "hears others only when it looks" in caplog.text


async def test_stores_on_one_file_wake_each_other(tmp_path: Path) -> None:
    backend = SqliteBackend(tmp_path)
    async with backend.open(shared=True) as web, backend.open(shared=True) as worker:
        for bell in (worker.doorbell, worker.cancels_bell, worker.changes_bell):
            await bell.wait(0)
        with trio.fail_after(5):
            await web.enqueue([new_job()])
            assert await worker.doorbell.wait()
            assert await worker.changes_bell.wait()
            job = await claim_one(worker)
            await web.cancel([job.id], EPOCH)
            assert await worker.cancels_bell.wait()
