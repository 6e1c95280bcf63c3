"""What Prometheus reads at /metrics, and by which names requests are counted."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import trio
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parsed
from trio.testing import MockClock

from trio_jobs import __version__
from trio_jobs.config import Settings
from trio_jobs.errors import Unavailable
from trio_jobs.http import create_app
from trio_jobs.http.measured import LEFT, Measured, Routes
from trio_jobs.http.routes import ROUTES
from trio_jobs.metrics import FAMILIES, OTHER, Metrics, families

from .asgi import Api, opened

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
NOBODY = "01a20c60-4e0f-7002-baaa-e48ca591f707"


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """(name, labels) -> value."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parsed(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float | None:
    return samples(text).get((name, tuple(sorted(labels.items()))))


async def traffic(directory: Path) -> str:
    """A little of everything, then what /metrics says. In real time: webhooks use threads."""
    async with opened(directory, worker=True) as api:
        whole = Api(create_app(api.service, Settings()))
        placed = await whole.post([{"type": "noop"}] * 6)
        hook = await whole.post({"type": "webhook", "input": {"url": "http://127.0.0.1:9/"}})
        await whole.post({"type": "noop", "delay": 1_000})
        for job in [*placed.json["jobs"], hook.json]:
            assert (await api.service.wait(job["id"], 60)).state.final
        await whole.ask("POST", "/queues/default/pause")
        await whole.ask("GET", f"/jobs/{NOBODY}")
        await whole.ask("PUT", "/jobs")
        await whole.ask("GET", "/jobs", headers={"Host": "evil.example"})
        api.service.metrics.lagged(0.0)  # what the runtime does
        reply = await whole.ask("GET", "/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return reply.body.decode()


async def test_after_some_traffic_every_metric_is_there(tmp_path: Path) -> None:
    text = await traffic(tmp_path)
    lines = text.splitlines()
    for family in FAMILIES:
        assert f"# HELP {family.name} {family.about}" in lines
        kind = "gauge" if family.kind == "info" else family.kind
        assert f"# TYPE {family.name} {kind}" in lines
        assert re.search(rf"^{family.name}(_bucket)?(\{{.*\}})? [0-9.]", text, re.MULTILINE)
    found = {family.name for family in parsed(text)}
    assert found == {family.name.removesuffix("_total") for family in FAMILIES}


async def test_the_numbers_are_right(tmp_path: Path) -> None:
    text = await traffic(tmp_path)
    noop = {"queue": "default", "type": "noop"}
    assert value(text, "trio_jobs_enqueued_total", **noop) == 7
    assert value(text, "trio_jobs_finished_total", **noop, outcome="done") == 6
    assert value(text, "trio_jobs_webhook_deliveries_total", outcome="permanent") == 1
    assert value(text, "trio_jobs_run_duration_seconds_count", type="noop") == 6
    assert value(text, "trio_jobs_wait_duration_seconds_count", queue="default") == 7
    assert value(text, "trio_jobs_queue_jobs", queue="default", state="done") == 6
    assert value(text, "trio_jobs_queue_jobs", queue="default", state="scheduled") == 1
    assert value(text, "trio_jobs_queue_jobs", queue="default", state="running") == 0
    assert value(text, "trio_jobs_queue_paused", queue="default") == 1
    assert value(text, "trio_jobs_queue_latency_seconds", queue="default") == 0
    assert value(text, "trio_jobs_workers") == 1
    assert value(text, "trio_jobs_worker_slots", state="idle") == 100
    assert value(text, "trio_jobs_worker_slots", state="busy") == 0
    requests = "trio_jobs_http_request_duration_seconds_count"
    for method, route, code, n in (
        ("POST", "/jobs", "201", 3),
        ("POST", "/queues/{name}/pause", "200", 1),
        ("GET", "/jobs/{id}", "404", 1),
        ("PUT", "/jobs", "405", 1),
        ("GET", "/jobs", "403", 1),
    ):
        assert value(text, requests, method=method, route=route, code=code) == n
    [(_, labels)] = [sample for sample in samples(text) if sample[0] == "trio_jobs_build_info"]
    assert dict(labels)["version"] == __version__


async def test_openmetrics_for_those_who_ask_for_it(tmp_path: Path) -> None:
    async with opened(tmp_path, worker=True) as api:
        await api.post({"type": "noop"})
        reply = await api.ask("GET", "/metrics", headers=OPENMETRICS)
    assert reply.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    found = {family.name for family in openmetrics.text_string_to_metric_families(
        reply.body.decode()
    )}  # fmt: skip
    assert found == {re.sub("_(total|info)$", "", family.name) for family in FAMILIES}


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain;version=oops", "application/json;,,;q"])
async def test_whatever_else_is_asked_for_gets_text(tmp_path: Path, accept: str) -> None:
    async with opened(tmp_path) as api:
        reply = await api.ask("GET", "/metrics", headers={"Accept": accept})
        assert reply.status == 200
        assert reply.headers["content-type"].startswith("text/plain")
        assert value(reply.body.decode(), "trio_jobs_workers") == 0


async def test_without_a_database_the_process_still_tells_of_itself(tmp_path: Path) -> None:
    async def busy() -> None:
        raise Unavailable("the database is busy")

    async with opened(tmp_path) as api:
        await api.post({"type": "noop"})
        api.store.queues = busy
        text = (await api.ask("GET", "/metrics")).body.decode()
        assert value(text, "trio_jobs_enqueued_total", queue="default", type="noop") == 1
        assert value(text, "trio_jobs_queue_jobs", queue="default", state="queued") is None


async def test_a_worker_that_stops_has_no_idle_hands(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with opened(tmp_path, worker=True) as api:
        reply = await api.post({"type": "sleep", "input": {"seconds": 3}})
        async with api.service.watch.subscribe(reply.json["id"]) as changes:
            while (await api.service.get(reply.json["id"])).state != "running":
                await anext(changes)
        text = (await api.ask("GET", "/metrics")).body.decode()
        assert value(text, "trio_jobs_worker_slots", state="busy") == 1
        assert value(text, "trio_jobs_worker_slots", state="idle") == 99
        api.service.drain()
        text = (await api.ask("GET", "/metrics")).body.decode()
        assert value(text, "trio_jobs_worker_slots", state="idle") == 0


async def test_promtool_finds_nothing_to_say(tmp_path: Path) -> None:
    text = await traffic(tmp_path)
    command = shutil.which("promtool")
    if command is None:
        pytest.skip("there is no promtool here (Debian: apt install prometheus)")
    done = await trio.run_process(
        [command, "check", "metrics"],
        stdin=text.encode(), capture_stdout=True, capture_stderr=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


# ── routes ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def routes() -> Routes:
    return Routes((route.method, route.path) for route in ROUTES)


def test_every_route_is_known_by_its_template(routes: Routes) -> None:
    for route in ROUTES:
        path = re.sub(r"\{\w+\}", NOBODY, route.path)
        for method in (route.method, "OPTIONS"):
            assert routes.of(method, path) == route.path


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("GET", "/jobs/cancel", "/jobs/{id}"),  # a word only where it is one
        ("POST", "/jobs/cancel", "/jobs/cancel"),
        ("GET", "/jobs/cancel/logs", "/jobs/{id}/logs"),
        ("PUT", "/jobs", "/jobs"),
        ("BREW", "/jobs/x", "/jobs/{id}"),
        ("GET", "/jobs/{}", "/jobs/{id}"),
        ("GET", "/jobs/", OTHER),
        ("GET", "//jobs", OTHER),
        ("GET", "/jobs//logs", OTHER),
        ("GET", "/jobs/x/logs/", OTHER),
        ("GET", "/jobs/x/nothing", OTHER),
        ("GET", "/jobs/x/logs/more", OTHER),
        ("GET", "/", "/"),
        ("OPTIONS", "*", OTHER),
        ("GET", "", OTHER),
        ("GET", "/other", OTHER),
        ("GET", "/" * 8_000, OTHER),
    ],
)
def test_what_clients_make_up_is_other(
    routes: Routes, method: str, path: str, template: str
) -> None:
    assert routes.of(method, path) == template


async def test_ten_thousand_paths_and_methods_cost_no_memory(tmp_path: Path) -> None:
    async with opened(tmp_path) as api:
        app = Measured(_nothing, api.service.metrics, Routes([("GET", "/jobs/{id}")]).of)
        asked = Api(app)
        for n in range(5_000):
            await asked.ask("GET", f"/jobs/{n}")
            await asked.ask(f"M{n}", f"/path/{n}")
        series = api.service.metrics.distributions()[families.REQUEST]
        assert {labels: one.cumulative[-1] for labels, one in series.items()} == {
            ("GET", "/jobs/{id}", "204"): 5_000,
            (OTHER, OTHER, "204"): 5_000,
        }


async def _nothing(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_clients_that_leave_and_apps_that_break_are_counted() -> None:
    async def leaves(_scope: Any, _receive: Any, _send: Any) -> None:
        await trio.lowlevel.checkpoint()

    async def breaks(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise OSError("in the middle")

    metrics, route_of = Metrics(), Routes([]).of
    async with Api(Measured(leaves, metrics, route_of)).asking("GET", "/"):
        pass
    with pytest.raises(ExceptionGroup):
        await Api(Measured(breaks, metrics, route_of)).ask("GET", "/")
    codes = [code for _, _, code in metrics.distributions()[families.REQUEST]]
    assert codes == [str(LEFT), "500"]
