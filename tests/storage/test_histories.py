"""Generated histories: whatever happens in whatever order, the store agrees with a small model.

Every verb takes part (model.py), in transactions of its own or shared. After every step the rows
must be what the model says, every change must be in TRANSITIONS and told to those who watch, a
unique key and a lease must have one holder, and the counters must equal a recount.

`scripts/test -m slow` lives through 10,000 histories more; HISTORIES says how many.
"""

import functools
import itertools
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from trio_jobs.job import State

from ..postgres import Server
from .conftest import PostgresBackend, SqliteBackend
from .jobs import VERDICTS
from .model import WORKERS, Shape, World

HISTORIES = int(os.environ.get("HISTORIES", "10000"))
QUEUES = ("a", "b", "c")
ENDED = tuple(state for state in State if state.final)
TWINS = [("enqueue", [Shape(), Shape(key="k")])]

Step = tuple[Any, ...]
picks = st.integers(0, 50)
some = st.lists(picks, min_size=1, max_size=4)
limits = st.integers(1, 4)
queues = st.sampled_from(QUEUES)
events = st.sampled_from(sorted(VERDICTS))
plain = st.tuples(
    queues,
    st.sampled_from("xy"),
    st.integers(-1, 1),
    st.sampled_from([-5.0, 0.0, 0.0, 0.0, 20.0]),
    st.sampled_from([None, None, 15.0, 60.0]),
).map(lambda shape: Shape(*shape))
keyed = st.tuples(
    queues,
    st.sampled_from("xxy"),
    st.integers(-1, 1),
    st.sampled_from([0.0, 0.0, 20.0]),
    st.sampled_from([None, None, None, 15.0]),
    st.sampled_from("kkl"),
    st.sampled_from([None, None, 5.0, 40.0]),
    st.sampled_from(["return", "replace", "replace", "reject"]),
).map(lambda shape: Shape(*shape))


def step(name: str, *args: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), *args)


def several(shapes: st.SearchStrategy[Shape]) -> st.SearchStrategy[list[Shape]]:
    return st.lists(shapes, min_size=1, max_size=4)


requests = st.tuples(st.sampled_from("mmn"), st.sampled_from("ffg"), st.sampled_from([5.0, 100.0]))
verdicts = st.lists(st.tuples(picks, events, st.sampled_from([0, 0, 2])), min_size=1, max_size=3)
settle = step("settle", verdicts)
claim = step(
    "claim",
    st.sampled_from(WORKERS),
    st.sampled_from([("x", "y"), ("x", "y"), ("x",)]),
    limits,
    st.sampled_from([10.0, 30.0]),
    st.booleans(),
    st.none() | st.dictionaries(st.sampled_from([*QUEUES, "*"]), st.integers(0, 2), max_size=3),
)
wishes = [
    step("cancel", some),
    step("retry", some),
    step("remove", some),
    step(
        "amend",
        st.lists(
            st.tuples(
                picks,
                st.sampled_from([None, None, -5.0, 30.0]),
                st.sampled_from([None, -1, 2]),
                st.none() | queues,
                st.sampled_from([False, False, True]),
            ),
            min_size=1,
            max_size=3,
        ),
    ),
]
alone = [
    step("enqueue", several(plain)),
    step("enqueue", several(keyed)),
    step("enqueue", several(plain | keyed), st.none() | requests),
    *wishes,
    claim,
    claim,
    settle,
    settle,
    step("rivals", picks, events, events, picks),
    step("extend", picks, st.sampled_from([1.0, 60.0])),
    step("report", picks, st.booleans(), st.integers(0, 2)),
    step("promote", limits),
    step("expire", limits),
    step("rescue"),
    step(
        "prune",
        st.dictionaries(
            st.tuples(st.sampled_from([None, "x"]), st.sampled_from(ENDED)),
            st.sampled_from([0.0, 30.0]),
            min_size=1,
            max_size=4,
        ),
        limits,
    ),
    step("pause", queues),
    step("resume", queues),
    step("limit", queues, st.sampled_from([None, 1, 1, 2])),
    step("pass", st.sampled_from([0.5, 10.0, 30.0, 90.0])),
    step("pass", st.sampled_from([0.5, 10.0, 30.0, 90.0])),
    step("reopen"),
]
crowd = st.tuples(  # in the order in which one transaction takes them
    settle,
    step("rescue"),
    step("enqueue", several(plain)),
    st.one_of(wishes),
    claim,
).flatmap(lambda steps: st.tuples(*(st.none() | st.just(one) for one in steps)))
together = step("together", crowd.map(lambda steps: [one for one in steps if one]))
tried = step(
    "claim", st.sampled_from(WORKERS), st.just(("x", "y")), limits, st.just(10.0), st.just(True)
)
crashed = step(
    "claim", st.just("process-dead"), st.just(("x", "y")), limits, st.just(10.0), st.just(True)
)
limited = step(
    "claim",
    st.just("me"),
    st.just(("x", "y")),
    st.just(4),
    st.just(10.0),
    st.just(True),
    st.fixed_dictionaries({"*": st.just(1)}, optional=dict.fromkeys("abc", st.integers(0, 2))),
)
late = [
    step("settle late", picks, events),
    step("extend late", picks),
    step("report late", picks),
]
rescue, passed = step("rescue"), step("pass", st.just(30.0))
forever = step("enqueue", st.just([Shape(key="k")]))
briefly = step("enqueue", st.just([Shape(key="k", held_for=5.0)]))
of_its_own = {**{(None, state): 0.0 for state in ENDED}, **{("x", state): 90.0 for state in ENDED}}
# Left to chance alone, few jobs would get as far as a second attempt.
ways = [
    st.tuples(tried, settle),
    st.tuples(tried, settle, passed, step("promote", st.just(4))),
    st.tuples(tried, step("report", picks, st.booleans(), limits), step("cancel", some), settle),
    st.tuples(crashed, rescue),
    st.tuples(crashed, rescue, crashed, rescue),
    st.tuples(tried, passed, rescue, tried, st.one_of(late)),
    st.tuples(tried, step("rivals", picks, events, events, picks)),
    st.tuples(tried, step("cancel", some), passed, rescue),
    st.tuples(tried, step("cancel", some), step("cancel", some), step("retry", some)),
    st.tuples(passed, step("expire", limits), step("retry", some), step("expire", limits)),
    st.tuples(step("enqueue", several(keyed)), tried, settle, passed, step("retry", some)),
    st.tuples(forever, tried, settle, briefly, tried, settle, passed, step("retry", some)),
    st.tuples(tried, settle, step("prune", st.just(of_its_own), limits)),
    st.tuples(crashed, rescue, crashed, rescue, step("pause", queues), tried),
    st.tuples(crashed, rescue, crashed, rescue, step("enqueue", several(plain)), limited),
    st.tuples(step("limit", queues, st.just(1)), step("enqueue", several(plain)), tried, tried),
    st.tuples(tried, settle, step("retry", some), tried),
]
stretches = st.one_of(*(one.map(lambda step: (step,)) for one in [*alone, together]), *ways, *ways)
histories = st.lists(stretches, min_size=7, max_size=21).map(
    lambda parts: list(itertools.chain.from_iterable(parts))
)


@functools.cache
def new_database() -> bytes:
    """An empty database: a copy of it costs half of what making one does."""

    async def make(backend: SqliteBackend) -> None:
        async with backend.open(durable=False):
            pass

    with tempfile.TemporaryDirectory() as directory:
        backend = SqliteBackend(Path(directory))
        trio.run(make, backend)
        return backend.path.read_bytes()


async def live(history: list[Step], backend: SqliteBackend | PostgresBackend) -> None:
    """Lives through `history` on an empty database."""
    world = World(None, backend)
    for reopened, part in itertools.groupby([*TWINS, *history], lambda step: step[0] == "reopen"):
        if reopened:
            continue
        async with backend.open(durable=False) as store:
            world.store = store
            for name, *args in part:
                await world.take(name, *args)
            await world.look()


def lived(history: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "jobs.db").write_bytes(new_database())
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(live, history, SqliteBackend(Path(directory)), clock=clock)


def lived_on(server: Server, history: list[Step]) -> None:
    backend = PostgresBackend(server.url())
    try:
        trio.run(live, history, backend, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        backend.leave()


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(histories)
def test_no_history_breaks_a_promise(history: list[Step]) -> None:
    lived(history)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories)
def test_no_history_breaks_a_promise_on_postgresql(postgres: Server, history: list[Step]) -> None:
    lived_on(postgres, history)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@settings(
    max_examples=HISTORIES // 5,
    derandomize=False,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
@given(history=histories)
def test_no_history_of_many_breaks_a_promise_on_postgresql(
    postgres: Server, history: list[Step]
) -> None:
    lived_on(postgres, history)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@settings(
    max_examples=HISTORIES,
    derandomize=False,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
@given(histories)
def test_no_history_of_many_breaks_a_promise(history: list[Step]) -> None:
    """Others on every run."""
    lived(history)


HARMS = {
    "a job is lost": "delete from jobs where seq = 2",
    "a job comes from nowhere": "update jobs set id = 'other' where seq = 2",
    "a job ends by itself": "update jobs set state = 'done', finished_at = 1 where seq = 2",
    "an attempt is not counted": "update jobs set attempt = 0 where seq = 1",
    "a job is forgotten for an hour": "update jobs set run_at = run_at + 3600 where seq = 2",
    "a wish is made up": "update jobs set cancel_requested_at = 1 where seq = 1",
    "a job is counted twice": "update counts set n = n + 1",
    "nobody is told": "delete from changes where id = (select max(id) from changes)",
    "the wrong thing is told": "update changes set event = 'done' where seq = 2",
    "a key has gone": "update jobs set unique_until = null",
    "a key is held by nobody's wish": "update jobs set unique_until = 1e18 where seq = 2",
    "a worker is shut out": "update jobs set lease_token = lease_token + 1 where state = 'running'",
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_the_model_notices_what_is_done_behind_its_back(harm: str) -> None:
    async def damage() -> None:
        with tempfile.TemporaryDirectory() as directory:
            backend = SqliteBackend(Path(directory))
            async with backend.open(durable=False) as store:
                world = World(store, backend)
                await world.take("enqueue", [Shape(), Shape(), Shape(key="k")])
                plan = world.claim("me", ("x",), 1, 10.0, True)
                plan.judge(await plan.call())
                backend.audit().execute(harm)
                found = False
                try:
                    await world.check()
                    await world.look()
                except AssertionError:
                    found = True
                assert found

    trio.run(damage)
