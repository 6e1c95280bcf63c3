"""Workers elsewhere: what is known of them is in the database, the same for every process."""

from typing import Any

from trio_jobs.storage.remote import Directive, RemoteWorker, Seen

from ..conftest import EPOCH
from .jobs import claim, new_job

LONG_AGO = EPOCH - 1e6


async def saw(store: Any, *seen: Seen, since: float = LONG_AGO, types: float = LONG_AGO) -> None:
    await store.saw(seen, workers_since=since, types_since=types)


async def test_a_worker_is_known_by_what_it_asked_for_last(store: Any) -> None:
    await saw(store, Seen("a/1", EPOCH, ["x"], ["media"]), Seen("b/2", EPOCH, ["x", "y"]))
    await saw(store, Seen("a/1", EPOCH + 5))  # a heartbeat
    await saw(store, Seen("b/2", EPOCH + 6, ["z"], ["mail"]), Seen("b/2", EPOCH + 7))
    roster = await store.roster()
    assert roster.workers == [
        RemoteWorker("a/1", ["x"], ["media"], EPOCH + 5),
        RemoteWorker("b/2", ["z"], ["mail"], EPOCH + 7),
    ]
    assert roster.types == {"x": EPOCH, "y": EPOCH, "z": EPOCH + 6}


async def test_who_is_silent_is_forgotten_sooner_than_what_it_could_do(store: Any) -> None:
    await saw(store, Seen("old", EPOCH, ["x"]))
    await saw(store, Seen("new", EPOCH + 100, ["y"]), since=EPOCH + 50)
    roster = await store.roster()
    assert [worker.name for worker in roster.workers] == ["new"]
    assert set(roster.types) == {"x", "y"}
    await saw(store, types=EPOCH + 50)
    assert set((await store.roster()).types) == {"y"}


async def test_a_directive_stays_until_the_next_one(store: Any) -> None:
    await saw(store, Seen("a", EPOCH, ["x"]), Seen("b", EPOCH, ["x"]))
    assert await store.direct(["a", "nobody"], Directive.STOP) == {"a"}
    await saw(store, Seen("a", EPOCH + 1, ["x"]))
    told = {worker.name: worker.directive for worker in (await store.roster()).workers}
    assert told == {"a": Directive.STOP, "b": Directive.RUN}


async def test_the_jobs_of_a_worker_elsewhere_are_known_and_our_own_are_not(store: Any) -> None:
    await store.enqueue([new_job(), new_job(), new_job()])
    mine = await claim(store, 2, worker="host/1")
    await claim(store, 1, worker=store.identity)
    assert await store.in_hand() == {"host/1": [job.id for job in mine]}
