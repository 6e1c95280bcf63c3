"""What is counted is what is in the database; what clients make up costs no memory."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_jobs.backoff import Backoff
from trio_jobs.errors import Cancel, Fail, Snooze
from trio_jobs.http.metrics import queue_gauges
from trio_jobs.job import State
from trio_jobs.metrics import FAMILIES, OTHER, Distribution, Histogram, Metrics, families
from trio_jobs.registry import Ctx, Handler
from trio_jobs.runtime.lag import EVERY, watch_lag
from trio_jobs.service import Order
from trio_jobs.storage.records import NewJob
from trio_jobs.storage.watching import QueueInfo

from .conftest import EPOCH, StartSystem, System, now

DATA = files("trio_jobs.metrics")
INVENTED = 10_000
LEASE = 600.0  # longer than any attempt may take: no heartbeat runs here


# ── histograms ────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.integers(0, 40).map(lambda n: n / 8), max_size=60))
def test_many_at_a_time_are_counted_as_one_by_one(values: list[float]) -> None:
    bounds = (0.5, 1, 2.5, 4)
    together, singly = Histogram(bounds), Histogram(bounds)
    together.observe_all(list(values), "x")
    for value in values:
        singly.observe(value, "x")
    assert together.distributions() == singly.distributions()
    for one in singly.distributions().values():
        wanted = [sum(value <= bound for value in values) for bound in (*bounds, 5)]
        assert one == Distribution(wanted, sum(values))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_keeps_the_conventions(family: families.Family) -> None:
    assert re.fullmatch(r"trio_jobs_[a-z_]+", family.name)
    assert family.name.endswith("_total") == (family.kind == "counter")
    assert bool(family.bounds) == (family.kind == "histogram")
    assert all(low < high for low, high in pairwise(family.bounds))
    assert not {"id", "job", "worker", "path"} & set(family.labels)
    assert family.about.endswith(".")


def test_time_that_runs_backwards_is_no_time() -> None:
    metrics = Metrics(["x"])
    metrics.started("default", [-5.0, 1.0])
    metrics.settled("x", [-5.0, 1.0])
    found = metrics.distributions()
    assert found[families.WAIT]["default",].sum == 1.0
    assert found[families.RUN]["x",].sum == 1.0


async def test_a_blocked_loop_is_seen_to_lag(nursery: trio.Nursery, mock_clock: MockClock) -> None:
    metrics = Metrics()
    nursery.start_soon(watch_lag, metrics)
    await wait_all_tasks_blocked()
    mock_clock.jump(EVERY)
    await wait_all_tasks_blocked()
    mock_clock.jump(EVERY + 3)
    await wait_all_tasks_blocked()
    [lag] = metrics.distributions()[families.LAG].values()
    assert lag.sum == pytest.approx(3.0)
    assert lag.cumulative[0] == 1
    assert lag.cumulative[-1] == 2


# ── labels ────────────────────────────────────────────────────────────────────────────────────


def test_types_and_queues_that_are_made_up_share_a_label() -> None:
    metrics = Metrics(["known"])
    for n in range(INVENTED):
        metrics.enqueued(f"queue-{n}", f"type-{n}", 1)
        metrics.finished(f"queue-{n}", f"type-{n}", "done", 1)
        metrics.started(f"queue-{n}", [1.0])
        metrics.settled(f"type-{n}", [1.0])
        metrics.answered(f"METHOD-{n}", OTHER, 404, 0.1)
    metrics.enqueued("default", "known", 1)
    counts, times = metrics.counts(), metrics.distributions()
    for family in (families.ENQUEUED, families.FINISHED):
        assert len(counts[family]) <= 102
    assert sum(counts[families.ENQUEUED].values()) == INVENTED + 1
    assert counts[families.ENQUEUED]["default", "known"] == 1
    assert len(times[families.WAIT]) <= 101
    assert list(times[families.RUN]) == [(OTHER,)]
    assert list(times[families.REQUEST]) == [(OTHER, OTHER, "404")]


def test_the_gauges_of_ten_thousand_queues_are_a_hundred_and_one() -> None:
    metrics = Metrics()
    queues = [
        QueueInfo(f"q{n}", {State.QUEUED: 2, State.DONE: 1}, None, EPOCH - n)
        for n in range(INVENTED)
    ]
    found = queue_gauges(queues, metrics, EPOCH)
    jobs = found[families.QUEUE_JOBS]
    assert len(jobs) == 101 * len(State)
    queued = {queue: n for (queue, state), n in jobs.items() if state == "queued"}
    assert sum(queued.values()) == 2 * INVENTED
    assert (queued["q7"], queued["default"]) == (2, 0)
    latency = found[families.QUEUE_LATENCY]
    assert (latency["q7",], latency[OTHER,]) == (7, INVENTED - 1)


def test_a_queue_that_has_emptied_stays_at_zero() -> None:
    metrics = Metrics()
    queue_gauges([QueueInfo("mail", {State.QUEUED: 1}, EPOCH, EPOCH - 5)], metrics, EPOCH)
    found = queue_gauges([], metrics, EPOCH)
    assert found[families.QUEUE_JOBS]["mail", "queued"] == 0
    assert found[families.QUEUE_LATENCY]["mail",] == 0
    assert found[families.QUEUE_PAUSED]["mail",] == 0


async def test_ten_thousand_real_jobs_of_as_many_queues_and_types(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    system = await start_system([])
    for first in range(0, INVENTED, 1_000):
        await system.store.enqueue(
            [_of_type(f"t{n}", f"q{n}") for n in range(first, first + 1_000)]
        )
    counts = system.metrics.counts()[families.ENQUEUED]
    assert sum(counts.values()) == INVENTED
    assert {type_ for _, type_ in counts} == {OTHER}
    assert len(counts) <= 101


# ── against the rows ──────────────────────────────────────────────────────────────────────────


async def work(input_: dict[str, Any], ctx: Ctx) -> None:
    """Does what its input says."""
    await trio.sleep(input_.get("s", 0.0))
    if ctx.attempt <= input_.get("fails", 0):
        raise OSError("again")
    match input_.get("ends"):
        case "fail":
            raise Fail("for good")
        case "cancel":
            raise Cancel("enough")
        case "snooze" if ctx.deadline < EPOCH + 1_200:
            raise Snooze(1_000)


HANDLERS = [
    Handler("work", work, backoff=Backoff("fixed", 10.0), max_attempts=3),
    Handler("webhook", work, backoff=Backoff("fixed", 10.0), max_attempts=3),
]


def _of_type(type_: str, queue: str = "default") -> NewJob:
    return NewJob(
        f"{type_}-{queue}", type_, queue, 0, State.QUEUED, 3, None, None, EPOCH, EPOCH, "{}", None,
        "application/json",
    )  # fmt: skip


async def _live(system: System) -> None:
    """Some hundred jobs: every way to come, to run and to end."""
    fates: list[dict[str, Any]] = [
        {"s": 0.5}, {"s": 2.0, "fails": 1}, {"fails": 9}, {"ends": "fail"}, {"ends": "cancel"},
        {"s": 0.1, "ends": "snooze"}, {"s": 400.0},
    ]  # fmt: skip
    for n in range(30):
        for fate in fates:
            type_, queue = ("webhook", "hooks") if n % 3 == 0 else ("work", f"q{n % 4}")
            await system.enqueue(type_, fate, queue=queue)
    bulk = [Order(type="work", payload=b'{"s":1}', queue=f"q{n % 2}") for n in range(100)]
    await system.service.enqueue(bulk, ("key", "print"))
    await system.service.enqueue(bulk, ("key", "print"))  # replayed: nothing is new
    for _ in range(3):
        await system.enqueue("work", delay=50, unique_key="once")
    await system.service.enqueue([Order(type="work", delay=50, unique_key="twice")] * 2)
    late = [await system.enqueue("work", delay=5_000) for _ in range(7)]
    await system.service.cancel(late[0])
    await system.service.bulk("cancel", ids=late[1:4])
    await system.service.pause("paused")
    await system.enqueue("work", queue="paused", deadline=now() + 60)
    running = await system.enqueue("work", {"s": 100.0}, priority=9)
    await system.until(running, State.RUNNING)
    await system.service.cancel(running)
    await system.until(running)
    again = await system.enqueue("work")
    await system.until(again)
    await system.service.retry(again)
    await _die(system)
    await trio.sleep(4_000)


async def _die(system: System) -> None:
    """One job kills its worker three times; another was asked to stop when its worker died."""
    await system.store.enqueue([_of_type("deadly"), _of_type("unlucky")])
    for _ in range(3):
        await system.store.claim("process-gone", ["deadly"], 1, now(), now() + 9_000)
        await trio.sleep(LEASE / 2)  # upkeep takes it from the dead
    await system.store.claim("process-gone", ["unlucky"], 1, now(), now() + 9_000)
    await system.store.cancel(["unlucky-default"], now())


def _known(type_: str) -> str:
    return type_ if type_ in ("work", "webhook") else OTHER


async def test_the_numbers_are_those_of_the_rows(
    start_system: StartSystem, autojump_clock: MockClock, tmp_path: Path
) -> None:
    system = await start_system(HANDLERS, concurrency=300, lease=LEASE)
    await _live(system)
    db = apsw.Connection(str(tmp_path / "jobs.db"))
    counts, times = system.metrics.counts(), system.metrics.distributions()

    stored: Counter[Any] = Counter()
    for queue, type_ in db.execute("select queue, type from jobs"):
        stored[queue, _known(type_)] += 1
    assert counts[families.ENQUEUED] == stored
    assert stored.total() > 300

    ended: Counter[Any] = Counter()
    for queue, type_, state in db.execute(
        "select queue, type, state from jobs where finished_at is not null"
    ):
        ended[queue, _known(type_), state] += 1
    ended["default", "work", "done"] += 1  # the one that was queued again
    assert counts[families.FINISHED] == ended
    assert {state for _, _, state in ended} == {"done", "failed", "cancelled"}
    assert counts[families.FINISHED]["default", OTHER, "failed"] == 1
    assert counts[families.FINISHED]["default", OTHER, "cancelled"] == 1
    assert counts[families.RESCUES] == {(): 3}

    runs: dict[str, list[float]] = {}
    outcomes: Counter[Any] = Counter()
    for type_, outcome, seconds in db.execute(
        """
        select j.type, a.outcome, a.finished_at - a.started_at
        from attempts as a join jobs as j using (seq)
        where a.error_type is not 'Crashed'
        union all
        select type, 'done', finished_at - started_at from jobs where state = 'done'
        """
    ):
        runs.setdefault(_known(type_), []).append(seconds)
        if type_ == "webhook":
            outcomes[outcome,] += 1
    assert {label for (label,) in times[families.RUN]} == runs.keys()
    for type_, seconds in runs.items():
        found = times[families.RUN][type_,]
        assert found.cumulative[-1] == len(seconds)
        assert found.sum == pytest.approx(sum(seconds))
        wanted = [sum(one <= bound for one in seconds) for bound in families.RUN.bounds]
        assert found.cumulative[:-1] == wanted
    assert counts[families.WEBHOOKS] == outcomes
    assert {"done", "retry", "permanent", "timeout", "snoozed"} <= {one for (one,) in outcomes}

    claims = sum(map(len, runs.values())) + 4  # those of the dead, too
    assert sum(one.cumulative[-1] for one in times[families.WAIT].values()) == claims
    transactions = times[families.COMMIT][()].cumulative[-1]
    assert transactions == times[families.BATCH][()].cumulative[-1] > 100


async def test_what_was_refused_was_never_counted(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    system = await start_system(HANDLERS)
    await system.enqueue("work", delay=50, unique_key="k")
    with pytest.raises(Exception, match="holds the unique_key"):
        await system.enqueue("work", delay=50, unique_key="k", on_conflict="reject")
    assert system.metrics.counts()[families.ENQUEUED] == {("default", "work"): 1}


async def test_a_late_verdict_is_no_attempt_of_ours(
    start_system: StartSystem, autojump_clock: MockClock
) -> None:
    system = await start_system(HANDLERS)
    id_ = await system.enqueue("work", {"s": 20.0})
    await system.until(id_, State.RUNNING)
    await system.service.pause("default")
    await system.store.rescue(now() + 60, 9)  # its lease has run out, and it does not know
    await trio.sleep(25)
    assert not system.metrics.distributions()[families.RUN]
    await system.service.resume("default")
    await system.until(id_)
    [run] = system.metrics.distributions()[families.RUN].values()
    assert run.cumulative[-1] == 1


# ── what watches it ───────────────────────────────────────────────────────────────────────────


def _expressions() -> list[str]:
    board = json.loads((DATA / "grafana.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]


def _named(text: str) -> set[str]:
    histograms = {family.name for family in FAMILIES if family.kind == "histogram"}
    names = set()
    for name in re.findall(r"\btrio_jobs_\w+", text):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        names.add(base if base in histograms else name)
    return names


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    assert _named("\n".join(_expressions())) == {family.name for family in FAMILIES}
    assert _named((DATA / "grafana.json").read_text()) <= {family.name for family in FAMILIES}


def test_the_alerts_watch_metrics_that_exist() -> None:
    named = _named((DATA / "alerts.yml").read_text())
    assert len(named) > 8
    assert named <= {family.name for family in FAMILIES}


def _promtool(*arguments: str, stdin: bytes = b"") -> None:
    command = shutil.which("promtool")
    if command is None:
        pytest.skip("there is no promtool here (Debian: apt install prometheus)")
    done = subprocess.run([command, *arguments], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()


def test_promtool_takes_the_alerts() -> None:
    _promtool("check", "rules", str(DATA / "alerts.yml"))


def test_promtool_takes_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {
            "record": f"panel:{at}",
            "expr": re.sub(r"\$(instance|queue)", ".*", expr.replace("$__rate_interval", "5m")),
        }
        for at, expr in enumerate(_expressions())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    _promtool("check", "rules", str(file))


def test_nobody_pays_for_prometheus_who_does_not_ask() -> None:
    code = (
        "import sys, trio_jobs.runtime, trio_jobs.cli.metrics, trio_jobs.cli.serve;"
        "sys.exit('prometheus_client' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
