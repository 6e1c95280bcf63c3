"""What a caller may ask: good orders are kept whole, bad ones are refused whole."""

from typing import Any

import pytest

from trio_jobs.config import Settings
from trio_jobs.errors import InvalidInput, TooLarge, Unavailable, UnknownType
from trio_jobs.job import State
from trio_jobs.registry import Registry
from trio_jobs.service import Order, Service
from trio_jobs.service.order import MAX_ATTEMPTS, MAX_SECONDS
from trio_jobs.storage.doorbell import Doorbell
from trio_jobs.storage.records import UNTIL_FINISHED, Counts, Enqueued, Key, NewJob
from trio_jobs.storage.remote import Roster

from ..conftest import EPOCH
from .conftest import HANDLERS


class Shelf:
    """Stands where the store would, to see what is put there."""

    def __init__(self) -> None:
        self.jobs: list[NewJob] = []
        self.keys: list[Key | None] = []
        self.changes_bell = Doorbell()
        self.doorbell = Doorbell()

    async def roster(self) -> Roster:
        return Roster([], {})

    async def counts(self) -> Counts:
        return {}

    async def enqueue(self, jobs: list[NewJob], key: Key | None = None) -> Enqueued:
        self.jobs += jobs
        self.keys.append(key)
        return Enqueued([job.id for job in jobs])


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
    placed = await service.enqueue([Order(type="any"), Order(type="loose")])
    jobs = [one.job for one in placed]
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
    [(job, *_)] = await service.enqueue([Order(type="any", **options)])
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
    *(({"deadline": value}, "/deadline") for value in (EPOCH, EPOCH - 1, NAN, INF)),
    ({"deadline": EPOCH + 5, "run_at": EPOCH + 5}, "/deadline"),
    ({"deadline": EPOCH + 5, "delay": 6.0}, "/deadline"),
    *(({"backoff": value}, "/backoff") for value in ("odd", [], [-1.0], {"base": "x"}, 5, True)),
    *(({"unique_key": value}, "/unique_key") for value in ("", "x" * 256, "ä", "a\n", "\0")),
    *(({"unique_key": "k", "unique_for": x}, "/unique_for") for x in (0.0, -1.0, NAN, INF)),
    ({"unique_for": 5.0}, "/unique_for"),
    ({"on_conflict": "replace"}, "/on_conflict"),
    ({"unique_key": "k", "on_conflict": "maybe"}, "/on_conflict"),
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
    [(job, *_)] = await service.enqueue([order])
    assert (job.payload_hex, job.params) == ("ff", {"n": "5"})
    with pytest.raises(InvalidInput):
        await service.enqueue(
            [Order(type="file", payload=b"\xff", content_type="a/b", params={"n": "five"})]
        )
    with pytest.raises(InvalidInput, match="takes JSON"):
        await service.enqueue([Order(type="any", payload=b"\xff", content_type="a/b")])
    assert len(shelf.jobs) == 1


async def test_a_service_that_is_stopping_takes_no_jobs(service: Service, shelf: Shelf) -> None:
    service.drain()
    with pytest.raises(Unavailable):
        await service.enqueue([Order(type="any")])
    assert shelf.jobs == []


@pytest.mark.parametrize(
    ("options", "until"),
    [({}, UNTIL_FINISHED), ({"unique_for": 60.0}, EPOCH + 60)],
)
async def test_a_unique_key_is_held_to_the_end_or_for_a_time(
    service: Service, shelf: Shelf, options: dict[str, Any], until: float
) -> None:
    order = Order(type="any", unique_key="a b", deadline=EPOCH + 9, backoff=[1, 2], **options)
    [(job, *_)] = await service.enqueue([order])
    assert (job.unique_key, job.deadline, job.backoff) == ("a b", EPOCH + 9, [1, 2])
    assert (shelf.jobs[0].unique_until, shelf.jobs[0].on_conflict) == (until, "return")


async def test_a_job_without_a_key_holds_none(service: Service, shelf: Shelf) -> None:
    await service.enqueue([Order(type="any")])
    assert shelf.jobs[0].unique_until is None
    assert shelf.keys == [None]


async def test_an_idempotency_key_lives_for_a_day(service: Service, shelf: Shelf) -> None:
    await service.enqueue([Order(type="any")], key=("k", "print"))
    assert shelf.keys == [Key("k", "print", EPOCH + 86_400)]


@pytest.mark.parametrize("key", ["", "x" * 256, "ä", "a\n", "a\0b"])
async def test_a_key_that_no_header_could_carry_is_refused(
    service: Service, shelf: Shelf, key: str
) -> None:
    with pytest.raises(InvalidInput, match="Idempotency-Key"):
        await service.enqueue([Order(type="any")], key=(key, "print"))
    assert shelf.jobs == []


async def test_no_orders_are_no_jobs(service: Service) -> None:
    assert await service.enqueue([]) == []
    assert await service.enqueue([], key=("k", "print")) == []
