"""Whoever gives a callback_url hears of the end, signed, from a job that is like any other."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
import trio

from trio_jobs.config import Settings
from trio_jobs.registry import Ctx, Handler

from ..receiver import Server, reply
from .asgi import NDJSON, Api, opened

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
PATIENCE = 10


@pytest.fixture
async def receiver(nursery: trio.Nursery) -> Server:
    server = Server(reply(204))
    await nursery.start(server.run)
    return server


async def fail(_input: object, _ctx: Ctx) -> None:
    raise ValueError("password=hush-hush is wrong")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    settings = Settings(data_dir=str(tmp_path), webhook_secret=SECRET, webhook_allow=("127.0.0.1",))
    more = [Handler("fails", fail, max_attempts=1)]
    with trio.fail_after(PATIENCE):
        async with opened(tmp_path, settings=settings, worker=True, more=more) as api:
            yield api


def verified(receiver: Server, at: int = -1) -> Any:
    """A message that has come, its signature proved."""
    request, body = receiver.requests[at]
    headers = {name.decode(): value.decode() for name, value in request.headers}
    return standardwebhooks.Webhook(SECRET).verify(body, headers)


async def callbacks(api: Api, id_: str) -> list[Any]:
    found = await api.get(f"/jobs?type=webhook&tag=callback:{id_}")
    jobs: list[Any] = found["jobs"]
    return jobs


async def ended(api: Api, id_: str) -> Any:
    return await api.get(f"/jobs/{id_}?wait=5")


async def test_a_job_that_is_done_is_told_with_its_result(api: Api, receiver: Server) -> None:
    made = await api.post(
        {"type": "sleep", "input": {"seconds": 0}, "callback_url": receiver.url()}
    )
    assert (made.status, made.json["callback_url"]) == (201, receiver.url())
    await receiver.until(1)
    message, job = verified(receiver), await ended(api, made.json["id"])
    assert message == {"type": "job.done", "timestamp": job["finished_at"], "data": job}
    assert message["data"]["output"] == {"slept": 0}
    [webhook] = await callbacks(api, job["id"])
    assert receiver.headers["webhook-id"] == webhook["id"]
    assert (await ended(api, webhook["id"]))["output"]["status"] == 204


async def test_a_job_that_has_failed_is_told_without_its_secrets(
    api: Api, receiver: Server
) -> None:
    await api.post({"type": "fails", "input": {"token": "abc"}, "callback_url": receiver.url()})
    await receiver.until(1)
    message = verified(receiver)
    assert (message["type"], message["data"]["status"]) == ("job.failed", "failed")
    assert message["data"]["input"] == {"token": "[redacted]"}
    assert b"hush-hush" not in receiver.requests[0][1]


async def test_a_job_that_is_cancelled_is_told_and_again_when_it_ends_again(
    api: Api, receiver: Server
) -> None:
    job = {"type": "noop", "delay": 600, "callback_url": receiver.url()}
    id_ = (await api.post(job)).json["id"]
    await api.ask("POST", f"/jobs/{id_}/cancel")
    await receiver.until(1)
    await api.ask("POST", f"/jobs/{id_}/retry")
    await receiver.until(2)
    said = [verified(receiver, at)["type"] for at in (0, 1)]
    assert said == ["job.cancelled", "job.done"]
    assert len(await callbacks(api, id_)) == 2


async def test_a_receiver_that_is_busy_is_asked_again_with_the_same_message(
    api: Api, receiver: Server
) -> None:
    receiver.answer = reply(503, "Retry-After: 0")
    id_ = (await api.post({"type": "noop", "callback_url": receiver.url()})).json["id"]
    await receiver.until(1)
    receiver.answer = reply(204)
    await receiver.until(2)
    [webhook] = await callbacks(api, id_)
    assert (await ended(api, webhook["id"]))["state"] == "done"
    ids = [dict(request.headers)[b"webhook-id"] for request, _ in receiver.requests]
    assert ids == [webhook["id"].encode()] * len(ids)
    assert verified(receiver, 0) == verified(receiver, 1)


async def test_a_receiver_that_wants_no_more_is_left_alone(api: Api, receiver: Server) -> None:
    receiver.answer = reply(410)
    id_ = (await api.post({"type": "noop", "callback_url": receiver.url()})).json["id"]
    await receiver.until(1)
    [webhook] = await callbacks(api, id_)
    job = await ended(api, webhook["id"])
    assert (job["state"], job["attempt"], job["reason"]) == ("failed", 1, "permanent")


async def test_where_webhooks_may_not_go_no_callback_goes(api: Api, receiver: Server) -> None:
    await api.post({"type": "noop", "callback_url": f"http://[::1]:{receiver.port}/"})
    job = (await api.post({"type": "noop", "callback_url": "http://10.9.8.7/"})).json
    await ended(api, job["id"])
    [webhook] = await callbacks(api, job["id"])
    assert (await ended(api, webhook["id"]))["state"] == "failed"
    assert receiver.requests == []


async def test_uploads_and_lines_call_back_as_well(api: Api, receiver: Server) -> None:
    lines = b'{"type":"noop","callback_url":"%s"}\n' % receiver.url("/line").encode()
    report = await api.ask("POST", "/jobs", lines + b'{"type":"noop","callback_url":"x"}', NDJSON)
    assert (report.json["created"], report.json["failed"]) == (1, 1)
    [error] = report.json["errors"]
    assert error["problem"]["errors"][0]["pointer"] == "/callback_url"
    await receiver.until(1)
    path = f"/jobs?type=process_file&operation=count&callback_url={receiver.url('/upload')}"
    assert (await api.ask("POST", path, b"a b\n", {"Content-Type": "text/plain"})).status == 201
    await receiver.until(2)
    assert [request.target for request, _ in receiver.requests] == [b"/line", b"/upload"]
    assert verified(receiver)["data"]["params"] == {"operation": "count"}


@pytest.mark.parametrize("url", ["nowhere", "ftp://example.com/", "http://me:pw@example.com/"])
async def test_a_url_that_cannot_be_called_is_refused(api: Api, url: str) -> None:
    refused = await api.post({"type": "noop", "callback_url": url})
    assert refused.status == 422
    assert refused.json["errors"][0]["pointer"] == "/callback_url"
    many = await api.ask(
        "POST",
        "/jobs",
        json.dumps([{"type": "noop"}, {"type": "noop", "callback_url": url}]).encode(),
        {"Content-Type": "application/json"},
    )
    assert many.json["errors"][0]["pointer"] == "/1/callback_url"
