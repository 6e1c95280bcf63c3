"""Handlers in Python run anywhere, with HTTP between them and a real service."""

import base64
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import trio

from trio_jobs.client.place import Place
from trio_jobs.config import Settings
from trio_jobs.errors import Denied, Fail, Retry, Snooze
from trio_jobs.registry import Ctx, Handler, Registry
from trio_jobs.remote import work_at

from ..processes import Service, running


async def echo(value: Any, ctx: Ctx) -> Any:
    ctx.log("hello")
    ctx.progress(1, 2)
    return {"got": value, "attempt": ctx.attempt}


async def data(_: Any, ctx: Ctx) -> bytes:
    return ctx.upload or b"none"


async def wrong(how: str, ctx: Ctx) -> None:
    errors: dict[str, Exception] = {
        "fail": Fail("never"), "retry": Retry("later", after=3_600), "snooze": Snooze(3_600),
        "error": ValueError("boom"),
    }  # fmt: skip
    raise errors[how]


async def long(_: Any, ctx: Ctx) -> None:
    await trio.sleep(600)


async def saving(_: Any, ctx: Ctx) -> Any:
    if ctx.saved is None:
        ctx.save({"at": 7})
        raise Snooze(0)
    return ctx.saved


REGISTRY = Registry(
    [
        Handler("echo", echo, input=Any),
        Handler("data", data, input=Any, accepts_upload=True),
        Handler("wrong", wrong, input=str),
        Handler("long", long, input=Any),
        Handler("brief", long, input=Any, timeout=0.2),
        Handler("saving", saving, input=Any),
    ]
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("service")
    with running(directory, "--no-worker", "--remote-types", "*") as service:
        yield service


@pytest.fixture
async def worker(service: Service, nursery: trio.Nursery) -> AsyncIterator[str]:
    """The name of a worker that is at work."""
    stop, over = trio.Event(), trio.Event()

    async def work(task_status: Any) -> None:
        settings = Settings(lease=10, shutdown_grace=0.1)
        await work_at(
            Place(service.url, None), REGISTRY, settings, stop=stop, task_status=task_status
        )
        over.set()

    yield await nursery.start(work)
    stop.set()
    await over.wait()


async def until(look: Callable[[], Any], patience: float = 20) -> Any:
    with trio.fail_after(patience):
        while not (found := await trio.to_thread.run_sync(look)):  # noqa: ASYNC110
            await trio.sleep(0.02)
    return found


async def ended(service: Service, id_: str, *states: str) -> Any:
    def look() -> Any:
        job = service.get(id_)
        return job if job["state"] in (states or ("done", "failed", "cancelled")) else None

    return await until(look)


async def test_a_job_comes_and_its_result_goes_back(service: Service, worker: str) -> None:
    id_ = service.post("echo", {"a": "é"})
    job = await ended(service, id_)
    assert job["output"] == {"got": {"a": "é"}, "attempt": 1}
    assert job["progress"]["total"] == 2
    lines = service.http.get(f"/jobs/{id_}/logs").json()["lines"]
    assert [line["message"] for line in lines] == ["hello"]
    [attempt] = service.http.get(f"/jobs/{id_}/attempts").json()["attempts"]
    assert attempt["worker"] == worker


async def test_bytes_come_and_go_as_they_are(service: Service, worker: str) -> None:
    posted = service.http.post(
        "/jobs?type=data", content=b"\x00\xff", headers={"Content-Type": "image/png"}
    )
    job = await ended(service, posted.json()["id"])
    assert base64.b64decode(job["result"]) == b"\x00\xff"


@pytest.mark.parametrize(
    ("how", "state", "reason", "attempt"),
    [
        ("fail", "failed", "permanent", 1),
        ("retry", "scheduled", "retry", 1),
        ("error", "scheduled", "retry", 1),
        ("snooze", "scheduled", "snoozed", 0),
    ],
)
async def test_a_handler_steers_as_it_would_beside_the_service(
    service: Service, worker: str, how: str, state: str, reason: str, attempt: int
) -> None:
    id_ = service.http.post("/jobs", json={"type": "wrong", "input": how}).json()["id"]
    job = await ended(service, id_, state)
    assert (job["reason"], job["attempt"]) == (reason, attempt)


async def test_a_timeout_of_the_handlers_own_fails_the_job(service: Service, worker: str) -> None:
    job = await ended(service, service.post("brief", max_attempts=1))
    assert (job["state"], job["error"]["type"]) == ("failed", "Timeout")


async def test_what_is_saved_is_there_for_the_next_attempt(service: Service, worker: str) -> None:
    assert (await ended(service, service.post("saving")))["output"] == {"at": 7}


async def test_a_cancel_is_heard_with_the_next_heartbeat(service: Service, worker: str) -> None:
    id_ = service.post("long")
    await ended(service, id_, "running")
    service.http.post(f"/jobs/{id_}/cancel")
    job = await ended(service, id_)
    assert (job["state"], job["reason"]) == ("cancelled", "cancelled")


async def test_a_worker_that_stops_hands_back_what_it_cannot_end(
    service: Service, nursery: trio.Nursery
) -> None:
    stop = trio.Event()

    async def work(task_status: Any) -> None:
        settings = Settings(shutdown_grace=0.1)
        await work_at(
            Place(service.url, None), REGISTRY, settings, stop=stop, task_status=task_status
        )

    await nursery.start(work)
    id_ = service.post("long")
    await ended(service, id_, "running")
    stop.set()
    job = await ended(service, id_, "queued")
    assert job["attempt"] == 0
    service.http.post(f"/jobs/{id_}/cancel")


async def test_it_leaves_when_the_service_tells_it_to(service: Service) -> None:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:

            async def work(task_status: Any) -> None:
                await work_at(
                    Place(service.url, None),
                    REGISTRY,
                    Settings(),
                    stop=trio.Event(),
                    task_status=task_status,
                )

            name = await nursery.start(work)

            def told() -> bool:
                reply = service.http.post("/workers/stop", json={"workers": [name]})
                return reply.status_code == 200

            await until(told)


async def test_a_token_that_is_none_ends_the_worker_with_a_sentence(service: Service) -> None:
    with pytest.raises(BaseExceptionGroup) as caught, trio.fail_after(10):
        await work_at(Place(service.url, "tj_wrong"), REGISTRY, Settings(), stop=trio.Event())
    assert caught.value.subgroup(Denied)
