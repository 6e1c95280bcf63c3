"""What somebody is told of a job's end: the job as the API shows it to those who pass by."""

import json
from typing import Any

import msgspec
import pytest

from trio_jobs.builtin import handlers
from trio_jobs.config import Settings
from trio_jobs.errors import Denied, InvalidInput
from trio_jobs.http.passing import job_in_passing
from trio_jobs.job import State
from trio_jobs.redaction import MASK, Redactor
from trio_jobs.registry import Handler, Registry
from trio_jobs.service import Callbacks, Checks, Grant, Order, Scope
from trio_jobs.service.callbacks import MOST
from trio_jobs.storage.records import Error, Job, Progress

from ..conftest import EPOCH, StartSystem

SETTINGS = Settings(max_attempts=7)
BODIES = frozenset({"input", "output", "payload", "result"})
URL = "https://example.com/hook?a=1"


def ended(**changes: Any) -> Job:
    """A job that has ended, with something in all of its members."""
    fields: dict[str, Any] = {
        "id": "0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d",
        "type": "report",
        "queue": "mine",
        "priority": -3,
        "state": State.FAILED,
        "reason": "permanent",
        "attempt": 2,
        "max_attempts": 5,
        "timeout": 2.5,
        "tags": ["a", "b"],
        "version": 4,
        "created_at": EPOCH,
        "updated_at": EPOCH + 9,
        "run_at": EPOCH + 1,
        "started_at": EPOCH + 2.25,
        "finished_at": EPOCH + 9,
        "deadline": EPOCH + 100,
        "backoff": [1, 2],
        "unique_key": "order-7",
        "cancel_requested_at": EPOCH + 8,
        "progress": Progress(1, 2, "half"),
        "error": Error("Oops", "it broke", "Traceback …"),
        "payload_text": '{"to":"é","password":"hush-hush"}',
        "content_type": "application/json",
        "params": {"p": "1", "token": "hush-hush"},
        "result_text": '{"url":"https://u:hush-hush@e.com/"}',
        "result_content_type": "application/json",
        "traceparent": "00-1",
        "callback_url": URL,
    }
    return Job(**{**fields, **changes})


def told(job: Job) -> Any:
    """The message of the callback of `job`."""
    payload = json.loads(Callbacks(SETTINGS)(job).payload_text or "")
    assert payload["url"] == job.callback_url
    return payload["json"]


def in_passing(job: Job, include: frozenset[str]) -> Any:
    redactor = Redactor(SETTINGS.redact)
    return json.loads(msgspec.json.encode(job_in_passing(job, redactor, include)))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"payload_text": None, "payload_hex": "ff00", "content_type": "image/png"},
        {"result_text": None, "result_hex": "00fe", "result_content_type": "image/gif"},
        {"result_text": "plain", "result_content_type": "text/json-ish"},
        {
            **dict.fromkeys(("reason", "timeout", "started_at", "deadline", "backoff", "error")),
            **dict.fromkeys(("unique_key", "cancel_requested_at", "progress", "params")),
            **dict.fromkeys(("result_text", "result_content_type", "traceparent")),
            "state": State.DONE,
        },
    ],
)
def test_the_job_looks_as_in_a_list_that_includes_bodies(changes: dict[str, Any]) -> None:
    job = ended(**changes)
    message = told(job)
    assert message["data"] == in_passing(job, BODIES)
    assert (message["type"], message["timestamp"]) == (
        f"job.{job.state}",
        message["data"]["finished_at"],
    )


def test_secrets_are_hidden() -> None:
    message = told(ended(callback_url="https://e.com/?token=hush-hush", tags=["key"]))
    assert "hush-hush" not in json.dumps(message)
    assert message["data"]["input"] == {"to": "é", "password": MASK}


def test_it_is_sent_before_what_waits_in_the_queue_of_the_job() -> None:
    job = ended()
    made = Callbacks(SETTINGS)(job)
    assert (made.type, made.queue, made.priority) == ("webhook", "mine", 100)
    assert (made.state, made.run_at, made.max_attempts) == (State.QUEUED, EPOCH + 9, 7)
    assert (made.tags, made.traceparent) == ([f"callback:{job.id}"], "00-1")
    assert made.callback_url is None


@pytest.mark.parametrize(
    "changes",
    [
        {"payload_text": None},  # the store has left it out
        {"payload_text": json.dumps("x" * 16_000)},  # as base64 and as JSON
    ],
)
def test_large_bodies_are_left_out(changes: dict[str, Any]) -> None:
    job = ended(**changes)
    assert told(job)["data"] == in_passing(job, frozenset())


@pytest.mark.parametrize("size", [16_000, 64_000])
def test_of_a_long_error_the_beginning_and_the_end_are_told(size: int) -> None:
    error = Error("E" * 200, "\1" * 4_000, "\1" * size)
    tags = ["t" * 64] * 16
    said = Callbacks(SETTINGS)(ended(error=error, tags=tags, payload_text=None)).payload_text or ""
    assert len(said.encode()) < MOST
    data = json.loads(said)["json"]["data"]
    assert (data["error"]["type"], data["error"]["traceback"]) == ("E" * 200, "")
    assert "left out" in data["error"]["message"]
    assert "input" not in data


def test_a_job_that_cannot_be_shown_ends_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    job = ended(run_at=1e300)  # whoever writes SQL may write anything
    assert told(job)["data"] == {"id": job.id, "state": "failed"}
    assert job.id in caplog.text


# ── what is taken ─────────────────────────────────────────────────────────────────────────────


async def run(_input: object, _ctx: object) -> None:
    """A handler."""


def checks(*more: Handler) -> Checks:
    return Checks(Registry([Handler("any", run, input=Any), *more]), SETTINGS)


@pytest.mark.parametrize(
    "url",
    ["", "ftp://e.com/", "https://", "https://u:p@e.com/", "http://e.com/a b", "http://\ud800"],
)
def test_what_no_webhook_may_name_is_refused(url: str) -> None:
    known = Checks(Registry([*handlers(SETTINGS), Handler("any", run, input=Any)]), SETTINGS)
    with pytest.raises(InvalidInput) as caught:
        known.new_job(Order(type="any", callback_url=url), EPOCH)
    assert caught.value.pointer == "/callback_url"
    assert known.new_job(Order(type="any", callback_url=URL), EPOCH).callback_url == URL


def test_an_app_that_sends_no_webhooks_says_so() -> None:
    with pytest.raises(InvalidInput, match="no job type 'webhook'") as caught:
        checks().new_job(Order(type="any", callback_url=URL), EPOCH)
    assert caught.value.pointer == "/callback_url"


async def test_a_token_that_may_make_no_webhooks_makes_none_by_a_detour(
    start_system: StartSystem, autojump_clock: object
) -> None:
    system = await start_system([*handlers(SETTINGS), Handler("any", run, input=Any)])

    def within(*types: str) -> Any:
        grant = Grant(id="t", scopes=frozenset({Scope.WRITE}), types=frozenset(types))
        return system.service.within(grant)

    order = Order(type="any", callback_url=URL)
    with pytest.raises(Denied, match="webhook"):
        await within("any").enqueue([order])
    [placed] = await within("any", "webhook").enqueue([order])
    assert placed.job.callback_url == URL
