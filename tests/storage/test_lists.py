"""Looking for jobs: filters, pages and scans."""

import itertools
from functools import partial
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trio_jobs.job import Error as Wrong
from trio_jobs.job import Event, State, Verdict
from trio_jobs.storage import grouped
from trio_jobs.storage.records import Job, NewJob, Page, Settlement
from trio_jobs.storage.wishes import Filter, Scan

from ..conftest import EPOCH, in_place
from .conftest import Backend, SqliteBackend, on_sqlite
from .jobs import (
    WAYS,
    all_jobs,
    bring_to,
    claim,
    claim_one,
    count_steps,
    due_in,
    keyed,
    new_job,
    settlement,
)

DEEP = b"[" * 5_000 + b"]" * 5_000


async def found(store: Any, **filter_: Any) -> list[str]:
    """The ids of all that match, oldest first: as listed, and as scanned."""
    listed = [job.id for job in reversed(await all_jobs(store, **filter_))]
    scan = await store.scan(Filter(**filter_), 0, 1_000)
    assert scan.ids == listed
    assert scan.next is None
    return listed


# ── each field ────────────────────────────────────────────────────────────────────────────────


async def test_no_filter_finds_all_with_their_bodies_left_out(store: Any) -> None:
    jobs = [new_job(b'"big"', params={"a": "b"}), keyed("k", payload=b"\0", content_type="a/b")]
    await store.enqueue(jobs)
    assert await found(store) == [job.id for job in jobs]
    held = await claim(store)
    await store.settle([settlement(job.lease) for job in held], EPOCH)
    for job in await all_jobs(store):
        assert job.payload_text is job.payload_hex is job.content_type is job.params is None
        assert job.result_text is job.result_hex is job.result_content_type is None


async def test_a_listed_job_is_told_as_one_asked_for_by_id(store: Any) -> None:
    """All but its bodies."""
    for state in WAYS:
        await bring_to(store, state, new_job(type=f"t-{state}", tags=["t"], deadline=EPOCH + 9))
    for job in await all_jobs(store):
        whole: Job = (await store.get([job.id]))[job.id]
        fields = Job.__struct_fields__[: Job.__struct_fields__.index("payload_text")]
        assert [getattr(whole, f) for f in fields] == [getattr(job, f) for f in fields]


@pytest.mark.parametrize("size", [0, 1, 2, 6])
async def test_states(store: Any, size: int) -> None:
    ids = {state: (await bring_to(store, state, new_job(type=state))).id for state in WAYS}
    for states in itertools.combinations(WAYS, size):
        assert await found(store, states=list(states)) == [ids[s] for s in ids if s in states]
    assert await found(store, states=[State.WAITING]) == []


@pytest.mark.parametrize("state", WAYS)
async def test_a_state_that_is_named_twice_is_listed_once_and_hides_nothing(
    store: Any, state: State
) -> None:
    ids = [(await bring_to(store, state, new_job(type=f"t{n}"))).id for n in range(5)]
    states = [state, state, State.WAITING]
    assert await pages(store, Filter(states=states), 2) == ids[::-1]


async def test_types_and_queues(store: Any) -> None:
    jobs = [new_job(type=t, queue=q) for t in ("a", "b", "c") for q in ("x", "y")]
    await store.enqueue(jobs)
    for types in (["a"], ["a", "c"], ["c", "a", "a"], [], ["none"], ["A"]):
        assert await found(store, types=types) == [j.id for j in jobs if j.type in types]
    for queues in (["x"], ["y", "x"], ["x", "x"], [], ["none"]):
        assert await found(store, queues=queues) == [j.id for j in jobs if j.queue in queues]


async def test_any_of_the_tags(store: Any) -> None:
    tags: list[list[str] | None] = [["a"], ["b", "a"], ["b"], ["ab"], [], None, ["1"], ['"', "é"]]
    jobs = [new_job(tags=has) for has in tags]
    await store.enqueue(jobs)
    for wanted in (["a"], ["b"], ["a", "b"], ["1"], ["é"], ['"'], ["A"], [""], []):
        matching = [job.id for job in jobs if set(job.tags or ()) & set(wanted)]
        assert await found(store, tags=wanted) == matching


async def test_unique_keys(store: Any) -> None:
    jobs = [keyed("a"), keyed("b"), new_job(), keyed("a", type="other"), keyed("")]
    await store.enqueue(jobs)
    for keys in (["a"], ["a", "b"], [""], ["none"], []):
        assert await found(store, keys=keys) == [j.id for j in jobs if j.unique_key in keys]


async def test_the_jobs_of_a_key_are_found_after_they_gave_it_back(store: Any) -> None:
    ids = [(await bring_to(store, State.DONE, keyed("k"))).id for _ in range(2)]
    assert await found(store, keys=["k"]) == ids


async def test_times_are_exclusive(store: Any) -> None:
    jobs = [new_job(created_at=EPOCH + n / 4) for n in range(5)]
    await store.enqueue(jobs)
    ids = [job.id for job in jobs]
    assert await found(store, created_after=EPOCH + 0.5) == ids[3:]
    assert await found(store, created_before=EPOCH + 0.5) == ids[:2]
    assert await found(store, created_after=EPOCH, created_before=EPOCH + 1) == ids[1:4]
    assert await found(store, created_after=EPOCH + 1, created_before=EPOCH) == []
    assert await found(store, created_after=0.0, created_before=1e18) == ids


async def fails(store: Any, *messages: str) -> str:
    """The id of a job that failed with these messages, one after another."""
    [id_] = (await store.enqueue([new_job()])).ids
    for n, message in enumerate(messages):
        held = await claim_one(store)
        verdict = Verdict.failed(Wrong("E", message), None)
        await store.settle([Settlement.of(held.lease, verdict)], EPOCH + n)
        if n + 1 < len(messages):
            await store.retry([id_], EPOCH + n)
    return str(id_)


async def test_a_part_of_the_last_errors_message(store: Any) -> None:
    whole = await fails(store, "no route to host 10%_é")
    last = await fails(store, "no route to host", "timed out")
    empty = await fails(store, "")
    await bring_to(store, State.DONE)
    await bring_to(store, State.CANCELLED)
    assert await found(store, error="route to") == [whole]
    assert await found(store, error="timed") == [last]
    assert await found(store, error="10%_é") == [whole]
    assert await found(store, error="o%t") == await found(store, error="No route") == []
    assert empty not in await found(store, error="x")


INPUT: list[tuple[bytes, dict[str, str], bool]] = [
    (b'{"user": {"id": 7}}', {"user.id": "7"}, True),
    (b'{"user": {"id": "7"}}', {"user.id": "7"}, True),
    (b'{"user": {"id": 70}}', {"user.id": "7"}, False),
    (b'{"user": 7}', {"user.id": "7"}, False),
    (b'{"user.id": 7}', {"user.id": "7"}, False),
    (b'{"a": true}', {"a": "true"}, True),
    (b'{"a": false}', {"a": "true"}, False),
    (b'{"a": true}', {"a": "1"}, False),
    (b'{"a": null}', {"a": "null"}, True),
    (b"{}", {"a": "null"}, False),
    (b'{"a": 1.5}', {"a": "1.5"}, True),
    (b'{"a": ""}', {"a": ""}, True),
    (b'{"a": 1, "b": 2}', {"a": "1", "b": "2"}, True),
    (b'{"a": 1, "b": 2}', {"a": "1", "b": "3"}, False),
    ('{"é ü": "ö"}'.encode(), {"é ü": "ö"}, True),
    (b'{"\\u00e9": "\\u00f6"}', {"é": "ö"}, True),
    (b'{"a[0]": 1}', {"a[0]": "1"}, True),
    (b'{"$": 1}', {"$": "1"}, True),
    (b'{"a": "x\'y"}', {"a": "x'y"}, True),
    (b'[{"a": 1}]', {"a": "1"}, False),
    (b'"a"', {"a": "a"}, False),
    (b"", {"a": "1"}, False),
    (b"not json", {"a": "1"}, False),
    (DEEP, {"a": "1"}, False),
]


@pytest.mark.parametrize(("body", "wanted", "matches"), INPUT)
async def test_values_in_the_input(
    store: Any, body: bytes, wanted: dict[str, str], matches: bool
) -> None:
    job = new_job(body)
    await store.enqueue([job, new_job(b'{"a": {"a": [1]}}'), new_job(b'{"a": 1}', "text/plain")])
    assert (job.id in await found(store, input=wanted)) is matches


@pytest.mark.parametrize("path", ["", ".", "a..b", "$", "[", "*", "#", "$.a", "a[0]", "'"])
async def test_no_path_is_an_accident(store: Any, path: str) -> None:
    await store.enqueue([new_job(b'{"a": 1}')])
    assert await found(store, input={path: "1"}) == []


async def test_one_odd_body_does_not_hide_the_others(store: Any) -> None:
    jobs = [new_job(b'{"a": 1}'), new_job(DEEP), new_job(b""), new_job(b"{"), new_job(b"\0", "a/b")]
    await store.enqueue(jobs)
    assert await found(store, input={"a": "1"}) == [jobs[0].id]


# ── all together ──────────────────────────────────────────────────────────────────────────────


async def test_all_that_is_given_must_hold(store: Any) -> None:
    fits: dict[str, Any] = {
        "type": "a", "queue": "q", "tags": ["t"], "created_at": EPOCH + 5, "payload": b'{"n": 1}',
    }  # fmt: skip
    others: list[dict[str, Any]] = [
        {"type": "b"}, {"queue": "r"}, {"tags": ["u"]}, {"created_at": EPOCH}, {"payload": b"{}"},
    ]  # fmt: skip
    job = new_job(**fits)
    await store.enqueue([job, *[new_job(**{**fits, **other}) for other in others]])
    everything: dict[str, Any] = {
        "states": [State.QUEUED],
        "types": ["a"],
        "queues": ["q"],
        "tags": ["t"],
        "created_after": EPOCH + 1,
        "created_before": EPOCH + 9,
        "input": {"n": "1"},
    }
    assert await found(store, **everything) == [job.id]
    for field in ("types", "queues", "tags", "created_after", "input"):
        assert len(await found(store, **{**everything, field: None})) == 2
    assert await found(store, **{**everything, "states": [State.DONE]}) == []
    assert await found(store, **everything, error="x") == []
    assert await found(store, **everything, keys=["x"]) == []


some = st.lists(st.sampled_from("abc"), min_size=1, max_size=3)
times = st.integers(0, 4).map(lambda n: EPOCH + n)
filters = st.fixed_dictionaries(
    {},
    optional={
        "states": st.lists(st.sampled_from([*WAYS]), min_size=1, max_size=3, unique=True),
        "types": some,
        "queues": some,
        "tags": some,
        "keys": some,
        "created_after": times,
        "created_before": times,
        "input": st.dictionaries(st.sampled_from("ab"), st.sampled_from("01"), min_size=1),
        "error": st.sampled_from(["boo", "bang"]),
    },
)


def holds(new: NewJob, job: Job, filter_: dict[str, Any]) -> bool:
    """What the docstring of Filter says."""
    body = {"a": str(new.priority % 2), "b": str(new.priority // 2 % 2)}
    return all(
        (
            job.state in filter_.get("states", [job.state]),
            job.type in filter_.get("types", [job.type]),
            job.queue in filter_.get("queues", [job.queue]),
            "tags" not in filter_ or bool(set(job.tags) & set(filter_["tags"])),
            "keys" not in filter_ or job.unique_key in filter_["keys"],
            job.created_at > filter_.get("created_after", 0),
            job.created_at < filter_.get("created_before", 1e18),
            "error" not in filter_ or (job.error and filter_["error"] in job.error.message),
            all(body[path] == value for path, value in filter_.get("input", {}).items()),
        )
    )


async def test_any_filter_finds_what_it_says_in_every_page_size(store: Any) -> None:
    """Forty jobs of every kind, and filters that hypothesis thinks of."""
    new = [
        new_job(
            b'{"a": %d, "b": "%d"}' % (n % 2, n // 2 % 2),
            priority=n,
            type="abc"[n % 3],
            queue="abc"[n // 3 % 3],
            tags=[None, ["a"], ["b", "c"]][n % 3],
            created_at=EPOCH + n % 5,
            unique_key=[None, "a", "b"][n // 2 % 3],
            unique_until=None if n // 2 % 3 == 0 else EPOCH,
        )
        for n in range(40)
    ]
    await store.enqueue([job for job in new if job.unique_key is None])
    for job in new:
        if job.unique_key is not None:
            await store.enqueue([job])
    held = await claim(store, 30, *"abc")
    events = [event for event in WAYS.values() if event is not None]
    for job, event in zip(held, itertools.cycle([*events, None]), strict=False):
        if event is not None:
            await store.settle([settlement(job.lease, event)], EPOCH)
    jobs = await all_jobs(store)
    by_id = {job.id: job for job in new}
    assert len(jobs) == 40
    examples: list[tuple[dict[str, Any], int]] = []

    @settings(max_examples=300, suppress_health_check=list(HealthCheck))
    @given(filters, st.integers(1, 7))
    def think(filter_: dict[str, Any], size: int) -> None:
        examples.append((filter_, size))

    think()
    for filter_, size in examples:
        wanted = [job.id for job in jobs if holds(by_id[job.id], job, filter_)]
        assert await pages(store, Filter(**filter_), size) == wanted, filter_
        assert await scanned(store, Filter(**filter_), size) == wanted[::-1], filter_


# ── pages ─────────────────────────────────────────────────────────────────────────────────────


async def pages(store: Any, filter_: Filter, size: int) -> list[str]:
    """The ids of all pages of `size`, in their order."""
    seen: list[str] = []
    before: int | None = None
    while True:
        page: Page = await store.list_jobs(filter_, before=before, limit=size)
        assert len(page.jobs) <= size
        seen += [job.id for job in page.jobs]
        if page.next is None:
            return seen
        assert before is None or page.next < before
        before = page.next


FILTERS = [
    Filter(),
    Filter(states=[State.QUEUED]),
    Filter(states=[State.QUEUED, State.RUNNING, State.DONE]),
    Filter(types=["a"]),
    Filter(types=["a", "b"]),
    Filter(states=[State.QUEUED, State.SCHEDULED], types=["a"]),
    Filter(queues=["x"], created_after=EPOCH),
]


@pytest.mark.parametrize("filter_", FILTERS)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_pages_have_no_gap_and_no_repeat(store: Any, filter_: Filter, size: int) -> None:
    jobs = [
        new_job(type="ab"[n % 2], queue="xy"[n % 3 % 2], created_at=EPOCH + n) for n in range(12)
    ]
    await store.enqueue(jobs)
    await store.enqueue([due_in(5, type="a", created_at=EPOCH + 20)])
    await claim(store, 3, "b")
    whole = await store.list_jobs(filter_, before=None, limit=1_000)
    assert whole.next is None
    assert await pages(store, filter_, size) == [job.id for job in whole.jobs]


async def test_jobs_that_arrive_or_move_meanwhile_leave_no_gap(store: Any) -> None:
    jobs = [new_job() for _ in range(9)]
    await store.enqueue(jobs)
    filter_ = Filter(states=[State.QUEUED, State.CANCELLED])
    first = await store.list_jobs(filter_, before=None, limit=3)
    await store.enqueue([new_job()])
    await store.cancel([jobs[0].id, jobs[8].id], EPOCH)
    second = await store.list_jobs(filter_, before=first.next, limit=3)
    third = await store.list_jobs(filter_, before=second.next, limit=4)
    seen = [job.id for page in (first, second, third) for job in page.jobs]
    assert seen == [job.id for job in reversed(jobs)]
    assert third.next is None


async def test_the_job_at_the_cursor_may_be_removed_between_two_pages(store: Any) -> None:
    held = [await bring_to(store, State.DONE) for _ in range(4)]
    first = await store.list_jobs(Filter(), before=None, limit=2)
    await store.remove([first.jobs[-1].id])
    rest = await store.list_jobs(Filter(), before=first.next, limit=9)
    assert [job.id for job in rest.jobs] == [held[1].id, held[0].id]


async def test_an_empty_store_has_one_empty_page(store: Any) -> None:
    for filter_ in FILTERS:
        assert await store.list_jobs(filter_, before=None, limit=5) == Page([], None)
        assert await store.scan(filter_, 0, 5) == Scan([], None, 0)


async def test_nothing_is_asked_for_and_nothing_comes(store: Any) -> None:
    await store.enqueue([new_job()])
    assert (await store.list_jobs(Filter(), before=None, limit=0)).jobs == []


# ── scan ──────────────────────────────────────────────────────────────────────────────────────


async def scanned(store: Any, filter_: Filter, limit: int) -> list[str]:
    """The ids of all steps, in their order."""
    seen: list[str] = []
    next_: int | None = 0
    while next_ is not None:
        step: Scan = await store.scan(filter_, next_, limit)
        assert len(step.ids) <= limit
        seen += step.ids
        assert step.next is None or next_ < step.next <= step.end
        next_ = step.next
    return seen


@pytest.mark.parametrize("looked_at", [1, 2, 3, 10_000])
@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_a_scan_covers_all_in_bounded_steps(
    store: Any, monkeypatch: pytest.MonkeyPatch, looked_at: int, limit: int
) -> None:
    monkeypatch.setattr(grouped, "SCANNED", looked_at)
    jobs = [new_job(type="ab"[n % 5 == 0]) for n in range(23)]
    await store.enqueue(jobs)
    assert await scanned(store, Filter(), limit) == [job.id for job in jobs]
    rare = [job.id for job in jobs if job.type == "b"]
    assert await scanned(store, Filter(types=["b"]), limit) == rare
    assert await scanned(store, Filter(types=["none"]), limit) == []
    first = await store.scan(Filter(types=["none"]), 0, limit)
    assert first == Scan([], None if looked_at >= 23 else looked_at, 23)


async def test_a_scan_passes_over_what_was_removed(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "SCANNED", 2)
    held = [await bring_to(store, State.DONE) for _ in range(12)]
    await store.remove([job.id for job in held[2:9]])
    kept = [job.id for job in held[:2] + held[9:]]
    assert await scanned(store, Filter(), 5) == kept
    await store.remove([held[-1].id])
    assert await scanned(store, Filter(), 5) == kept[:-1]


async def test_a_scan_that_cancels_as_it_goes_misses_nobody(store: Any) -> None:
    """The walk behind "cancel all of them": what it has dealt with no longer matches."""
    jobs = [new_job() for _ in range(20)]
    await store.enqueue(jobs)
    waiting, next_ = Filter(states=[State.QUEUED]), 0
    while next_ is not None:
        step = await store.scan(waiting, next_, 3)
        await store.cancel(step.ids, EPOCH)
        next_ = step.next
    assert await store.counts() == {"default": {State.CANCELLED: 20}}


async def test_a_job_that_arrives_during_a_scan_is_no_repeat(store: Any) -> None:
    jobs = [new_job() for _ in range(4)]
    await store.enqueue(jobs)
    step = await store.scan(Filter(), 0, 2)
    late = new_job()
    await store.enqueue([late])
    rest = await store.scan(Filter(), step.next, 9)
    assert step.ids + rest.ids == [job.id for job in jobs] + [late.id]


# ── beside others ─────────────────────────────────────────────────────────────────────────────


async def test_one_impossible_filter_does_not_spoil_the_answers_of_others(store: Any) -> None:
    job = new_job()
    await store.enqueue([job])
    answers: list[Any] = []

    async def ask(filter_: Filter) -> None:
        try:
            answers.append(
                [j.id for j in (await store.list_jobs(filter_, before=None, limit=9))[0]]
            )
        except Exception as error:
            answers.append(type(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, Filter(input={"\ud800": "x"}))
        nursery.start_soon(ask, Filter())
    assert [job.id] in answers


async def test_lists_are_the_same_after_a_restart(backend: Backend) -> None:
    async with backend.open() as store:
        await store.enqueue([keyed("k", tags=["t"]), due_in(3), new_job(queue="q")])
        before = await store.list_jobs(Filter(), before=None, limit=2)
    async with backend.open() as store:
        assert await store.list_jobs(Filter(), before=None, limit=2) == before


@on_sqlite
async def test_a_search_that_takes_long_is_in_nobodys_way(backend: SqliteBackend) -> None:
    searching, found = trio.Event(), trio.Event()

    async def slow_to_search(call: Any, *args: Any) -> Any:
        if call.__name__ == "search":
            searching.set()
            await found.wait()
        return await in_place(call, *args)

    async with (
        backend.open(run_sync=slow_to_search) as store,
        trio.open_nursery() as nursery,
    ):
        await store.enqueue([due_in(3)])
        nursery.start_soon(partial(store.list_jobs, Filter(tags=["t"]), before=None, limit=9))
        nursery.start_soon(store.scan, Filter(tags=["t"]), 0, 9)
        await searching.wait()
        assert await store.promote(EPOCH, 9) == (0, EPOCH + 3)
        assert await store.expire(EPOCH, 9) == (0, None)
        assert await store.cancels("me") == []
        assert (await store.changes(0, 9)).last == 1
        found.set()


@on_sqlite
async def test_a_rare_type_is_found_among_many_without_looking_at_all(
    backend: SqliteBackend,
) -> None:
    async with backend.open() as store:
        await bring_to(store, State.DONE, new_job(type="rare"))
        await store.enqueue([new_job() for _ in range(20_000)])
        steps = count_steps(store.file._searcher)
        [job] = (await store.list_jobs(Filter(types=["rare"]), before=None, limit=10)).jobs
        assert job.type == "rare"
        assert len(steps) < 20


def test_every_state_that_a_store_has_jobs_in_is_tried_here() -> None:
    assert set(WAYS) == set(State) - {State.WAITING}
    assert set(WAYS.values()) - {None} <= set(Event)
