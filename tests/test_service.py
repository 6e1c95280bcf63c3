"""What a caller may ask: good orders are kept whole, bad ones are refused whole."""

from typing import Any

import msgspec
import pytest
from trio.testing import MockClock

from trio_jobs.config import Settings
from trio_jobs.errors import InvalidInput, NotFound, TooLarge, Unavailable, UnknownType
from trio_jobs.job import State
from trio_jobs.registry import Ctx, Handler, Registry
from trio_jobs.service import MAX_ATTEMPTS, MAX_PAGE, MAX_SECONDS, Order, Service
from trio_jobs.storage.records import NewJob

from .conftest import EPOCH, StartSystem


class Loose(msgspec.Struct):
    """Input that does not look at members it does not know."""

    n: int = 0


async def run(_input: object, _ctx: Ctx) -> None:
    """A handler."""


HANDLERS = [
    Handler("any", run, input=Any),
    Handler("loose", run, input=Loose, max_attempts=2),
    Handler("file", run, input=Loose, accepts_upload=True),
]


class Shelf:
    """Stands where the store would, to see what is put there."""

    def __init__(self) -> None:
        self.jobs: list[NewJob] = []

    async def enqueue(self, jobs: list[NewJob]) -> None:
        self.jobs += jobs


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def service(shelf: Shelf) -> Service:
    settings = Settings(max_payload=1_000, max_upload=2_000, max_tags=2, max_attempts=7)
    return Service(shelf, Registry(HANDLERS), settings, now=lambda: EPOCH)  # type: ignore[arg-type]


async def test_an_order_is_completed_from_handler_and_settings(
    service: Service, shelf: Shelf
) -> None:
    jobs = await service.enqueue([Order(type="any"), Order(type="loose")])
    assert [job.id for job in jobs] == [job.id for job in shelf.jobs]
    assert [job.max_attempts for job in shelf.jobs] == [7, 2]
    assert [job.state for job in jobs] == [State.QUEUED] * 2
    assert jobs[0].id < jobs[1].id


@pytest.mark.parametrize(
    ("options", "run_at", "state"),
    [
        ({}, EPOCH, State.QUEUED),
        ({"delay": 0.0}, EPOCH, State.QUEUED),
        ({"delay": 5.0}, EPOCH + 5, State.SCHEDULED),
        ({"run_at": EPOCH + 5}, EPOCH + 5, State.SCHEDULED),
        ({"run_at": EPOCH - 5}, EPOCH - 5, State.QUEUED),
        ({"run_at": 0.0}, 0.0, State.QUEUED),
    ],
)
async def test_a_job_waits_exactly_when_its_time_is_still_to_come(
    service: Service, options: dict[str, Any], run_at: float, state: State
) -> None:
    [job] = await service.enqueue([Order(type="any", **options)])
    assert (job.run_at, job.state) == (run_at, state)


NAN, INF = float("nan"), float("inf")
BAD: list[tuple[dict[str, Any], str]] = [
    *(({"priority": value}, "/priority") for value in (101, -101, NAN)),
    *(({"delay": value}, "/delay") for value in (-1.0, NAN, INF, MAX_SECONDS + 1)),
    *(({"timeout": value}, "/timeout") for value in (0.0, -1.0, NAN, INF)),
    *(({"max_attempts": value}, "/max_attempts") for value in (0, -1, MAX_ATTEMPTS + 1)),
    *(({"run_at": value}, "/run_at") for value in (-1.0, NAN, INF, EPOCH + MAX_SECONDS + 1)),
    ({"delay": 1.0, "run_at": EPOCH}, "/delay"),
    *(({"queue": value}, "/queue") for value in ("", "a b", "ä", "x" * 65, "a\n", "\0", "\ud800")),
    ({"tags": ["a", "b", "c"]}, "/tags"),
    ({"tags": ["a", "b c"]}, "/tags/1"),
    ({"payload": b"{"}, "/input"),
    ({"payload": b""}, "/input"),
    ({"payload": b"[" * 900}, "/input"),
]


@pytest.mark.parametrize(("options", "pointer"), BAD)
async def test_a_bad_order_is_refused_with_a_finger_on_the_member(
    service: Service, shelf: Shelf, options: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await service.enqueue([Order(type="any", **options)])
    assert caught.value.pointer == pointer
    with pytest.raises(InvalidInput) as caught:
        await service.enqueue([Order(type="any"), Order(type="any", **options)])
    assert caught.value.pointer == f"/1{pointer}"
    assert shelf.jobs == [], "all or nothing"


async def test_the_pointer_goes_on_into_the_input(service: Service) -> None:
    with pytest.raises(InvalidInput) as caught:
        await service.enqueue([Order(type="loose", payload=b'{"n": "x"}')])
    assert caught.value.pointer == "/input/n"


async def test_bytes_that_no_handler_looks_at_must_be_text_all_the_same(
    service: Service, shelf: Shelf
) -> None:
    with pytest.raises(InvalidInput, match="UTF-8"):
        await service.enqueue([Order(type="loose", payload=b'{"unknown": "\xff"}')])
    assert shelf.jobs == []


async def test_an_unknown_type_is_refused(service: Service) -> None:
    with pytest.raises(UnknownType) as caught:
        await service.enqueue([Order(type="any"), Order(type="ayn")])
    assert caught.value.pointer == "/1/type"


async def test_limits_are_met_to_the_byte(service: Service, shelf: Shelf) -> None:
    await service.enqueue([Order(type="any", payload=b'"' + b"x" * 998 + b'"')])
    await service.enqueue([Order(type="file", payload=b"x" * 2_000, content_type="a/b")])
    for order in (
        Order(type="any", payload=b'"' + b"x" * 999 + b'"'),
        Order(type="file", payload=b"x" * 2_001, content_type="a/b"),
    ):
        with pytest.raises(TooLarge, match="001"):
            await service.enqueue([order])
    assert len(shelf.jobs) == 2


async def test_an_upload_is_taken_only_where_it_is_wanted(service: Service, shelf: Shelf) -> None:
    order = Order(type="file", payload=b"\xff", content_type="a/b", params={"n": "5"})
    [job] = await service.enqueue([order])
    assert (job.payload_hex, job.params) == ("ff", {"n": "5"})
    with pytest.raises(InvalidInput):
        await service.enqueue(
            [Order(type="file", payload=b"\xff", content_type="a/b", params={"n": "five"})]
        )
    with pytest.raises(InvalidInput, match="takes JSON"):
        await service.enqueue([Order(type="any", payload=b"\xff", content_type="a/b")])
    assert len(shelf.jobs) == 1


async def test_a_service_that_is_stopping_takes_no_jobs(service: Service, shelf: Shelf) -> None:
    service.draining = True
    with pytest.raises(Unavailable):
        await service.enqueue([Order(type="any")])
    with pytest.raises(Unavailable):
        await service.check()
    assert shelf.jobs == []


async def test_no_orders_are_no_jobs(service: Service) -> None:
    assert await service.enqueue([]) == []


async def test_looking_at_jobs(start_system: StartSystem, autojump_clock: MockClock) -> None:
    system = await start_system(HANDLERS)
    service = system.service
    await service.check()
    later = [await system.enqueue("any", delay=100.0) for _ in range(3)]
    done = await system.enqueue("loose")
    await system.until(done)

    page = await service.list_jobs(limit=2)
    assert [job.id for job in page.jobs] == [done, later[2]]
    page = await service.list_jobs(limit=2, before=page.next)
    assert [job.id for job in page.jobs] == [later[1], later[0]]
    assert [job.id for job in (await service.list_jobs(status="done")).jobs] == [done]
    assert [job.id for job in (await service.list_jobs(status="pending")).jobs] == later[::-1]
    assert (await service.list_jobs(status="failed")).jobs == []
    assert len((await service.list_jobs(type="any")).jobs) == 3
    assert await system.store.counts() == {"default": {State.SCHEDULED: 3, State.DONE: 1}}

    for limit in (0, -1, MAX_PAGE + 1):
        with pytest.raises(InvalidInput):
            await service.list_jobs(limit=limit)
    for status in ("", "queued", "DONE"):
        with pytest.raises(InvalidInput):
            await service.list_jobs(status=status)
    with pytest.raises(NotFound):
        await service.get("0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d")
