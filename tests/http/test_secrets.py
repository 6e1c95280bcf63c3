"""Secrets that a job is given are shown to whoever asks for that job, and to nobody else."""

import base64
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from trio_jobs import logs
from trio_jobs.config import Settings
from trio_jobs.redaction import MASK, Redactor
from trio_jobs.registry import Ctx, Handler

from .asgi import Api, Conversation, opened

log = logging.getLogger("a.handler")

SECRET = "zQ7xSECRETx"  # part of all that must not be seen
SIGNING_KEY = "whsec_" + base64.b64encode(f"{SECRET}-of-the-settings".encode()).decode()
SMTP_PASSWORD = f'{SECRET} of "the" settings'


async def leak(input_: dict, ctx: Ctx) -> dict:
    """Does with secrets all that one should not do."""
    log.info("it came with %s", input_)
    log.warning("logging in: password=%s, user=me", input_["password"])
    log.warning("sending Authorization: Bearer %s", input_["password"])
    log.warning("the server said: %s and %s", SMTP_PASSWORD, SIGNING_KEY)
    ctx.progress(1, 2, f"token={input_['password']}")
    error = ValueError(f"no login with {input_!r}")
    log.error("it failed", exc_info=error)
    if input_.get("then") == "raise":
        raise RuntimeError(f"{SMTP_PASSWORD}: api_key={input_['password']}") from error
    return input_


class Everything:
    """All that a service has said to somebody else than the one who asks for the job."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def add(self, piece: bytes) -> bytes:
        self.pieces.append(piece)
        return piece


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    settings = Settings(
        data_dir=str(tmp_path),
        smtp_password=SMTP_PASSWORD,
        webhook_secret=SIGNING_KEY,
        webhook_allow=("127.0.0.1",),
    )
    more = [Handler("leak", leak, max_attempts=1)]
    async with opened(tmp_path, settings=settings, worker=True, more=more) as api:
        yield api


async def test_nothing_that_is_shown_in_passing_tells_a_secret(api: Api, tmp_path: Path) -> None:
    seen = Everything()
    file = tmp_path / "service.log"
    redactor = Redactor(Settings().redact, [SMTP_PASSWORD, SIGNING_KEY])
    secrets = {"password": SECRET, "nested": [{"private_key": f"{SECRET} too"}]}
    hook = {
        "url": f"http://127.0.0.1:1/hook?access_token={SECRET}",
        "headers": {"Authorization": f"Bearer {SECRET}", "X-Api-Key": SECRET},
        "json": {"client_secret": SECRET},
    }
    with (
        file.open("wb") as out,
        logs.installed(out.fileno(), look="json", level="debug", redactor=redactor),
    ):
        ids = {}
        for name, job in {
            "done": {"type": "leak", "input": secrets},
            "failed": {"type": "leak", "input": secrets | {"then": "raise"}},
            "hook": {"type": "webhook", "input": hook, "max_attempts": 1},
        }.items():
            posted = await api.post({**job, "tags": ["x"], "wait": 20})
            ids[name] = posted.json["id"]
        log.error("the worst: %s %s", {"password": SECRET}, SMTP_PASSWORD)
    seen.add(file.read_bytes())
    lists = ("/jobs", "/jobs?state=failed", "/jobs?include=input,output", "/queues", "/outbox")
    for path in (*lists, "/events?after=0"):
        if path.startswith("/events"):
            async with api.asking("GET", path) as stream:
                ended = 0
                while ended < len(ids):
                    ended += (await stream.event()).name in ("job.done", "job.failed")
                stream.leave()
            seen.add(stream.reply.body)
        else:
            seen.add((await api.ask("GET", path)).body)
    for id_ in ids.values():
        seen.add(repr(await api.service.logs(id_)).encode())  # as they are stored
        seen.add(repr(await api.service.attempts(id_)).encode())
        for part in ("events", "attempts", "logs", "logs?follow", "why"):
            seen.add((await api.ask("GET", f"/jobs/{id_}/{part}")).body)
        # The record itself tells the truth about its payload, and no other secrets.
        job = await api.get(f"/jobs/{id_}")
        for name in ("payload", "input", "result", "output"):
            job.pop(name, None)
        seen.add(json.dumps(job).encode())
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert {line.get("job_id") for line in lines} >= {ids["done"], ids["failed"]}
    everything = b"\n".join(seen.pieces)
    assert everything.count(MASK.encode()) > 20
    assert b"user=me" in everything
    for secret in (SECRET, SMTP_PASSWORD, SIGNING_KEY, "of the settings"):
        assert secret.encode() not in everything
    job = await api.get(f"/jobs/{ids['done']}")
    assert json.loads(base64.b64decode(job["payload"])) == job["input"] == secrets
    assert job["output"] == secrets, "a result belongs to whoever asks for it by its id"


async def test_a_list_with_bodies_hides_what_is_in_them(api: Api) -> None:
    await api.post({"type": "leak", "input": {"password": SECRET, "n": 1}, "wait": 20})
    await api.ask(
        "POST",
        f"/jobs?type=process_file&operation=count&unique_key=token:{SECRET}",
        b"\xff\0 password=%b \xff" % SECRET.encode(),
        {"Content-Type": "application/octet-stream"},
    )
    reply = await api.ask("GET", "/jobs?include=input,output,payload,result")
    upload, leak = reply.json["jobs"]
    assert leak["input"] == leak["output"] == {"password": MASK, "n": 1}
    assert json.loads(base64.b64decode(leak["payload"])) == {"password": MASK, "n": 1}
    assert base64.b64decode(upload["payload"]) == b"\xff\0 password=%b \xff" % MASK.encode()
    assert upload["unique_key"] == f"token:{MASK}"
    assert SECRET not in reply.body.decode()


async def test_records_of_before_are_hidden_where_they_are_shown(tmp_path: Path) -> None:
    """They may have been written by a version, or under a setting, that knew fewer secrets."""
    settings = Settings(data_dir=str(tmp_path), redact=())
    more = [Handler("leak", leak, max_attempts=1)]
    async with opened(tmp_path, settings=settings, worker=True, more=more) as api:
        input_ = {"password": SECRET, "then": "raise"}
        path = (await api.post({"type": "leak", "input": input_, "wait": 20})).headers["location"]
        assert SECRET in (await api.get(path + "/logs"))["lines"][0]["message"]
        api.service.redactor = Redactor(Settings().redact, [SMTP_PASSWORD, SIGNING_KEY])
        for shown in (path + "/logs", path + "/attempts", path + "/events", "/jobs"):
            body = (await api.ask("GET", shown)).body
            assert MASK.encode() in body
            assert SECRET.encode() not in body


@pytest.mark.parametrize("way", ["hot", "quart"])
@pytest.mark.parametrize("path", ["/jobs/01a20c60-4e0f-7002-baaa-e48ca591f707", "/queues/x"])
async def test_a_failed_request_is_logged_under_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
    way: str, path: str,
) -> None:  # fmt: skip
    async def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    seen: list[str | None] = []
    monkeypatch.setattr(caplog.handler, "emit", lambda record: seen.append(logs.request_id.get()))
    async with opened(tmp_path, way) as api:
        api.service.get = api.service.queue = fail
        reply = await api.ask("GET", path, headers={"X-Request-ID": "mine-1"})
        assert reply.status == 500
    assert seen == ["mine-1"]


async def test_the_next_request_of_a_connection_has_no_name_before_it_has_its_own(
    tmp_path: Path,
) -> None:
    scope = {
        "type": "http", "method": "GET", "path": f"/jobs/{UUID(int=1)}", "query_string": b"",
        "headers": [(b"x-request-id", b"mine-1")],
    }  # fmt: skip
    async with opened(tmp_path) as api:
        conversation = Conversation([b""])
        await api._app(scope, conversation.receive, conversation.send)
    assert conversation.reply.headers["x-request-id"] == "mine-1"
    assert logs.request_id.get() is None
