"""What happens to jobs, as it happens: nothing is missed, and every stream has an end."""

import logging
from collections.abc import Callable

import pytest
import trio

from trio_jobs.config import Settings
from trio_jobs.http import create_app
from trio_jobs.registry import Ctx, Handler

from .asgi import Api, Conversation, Event, opened

log = logging.getLogger("a.handler")


async def work(input_: dict, ctx: Ctx) -> None:
    """A step a second: progress, and a line."""
    for step in range(1, input_["steps"] + 1):
        ctx.progress(step, input_["steps"], "steps")
        log.warning("step %d", step)
        await trio.sleep(1)
    if input_.get("fails"):
        raise ValueError("no")


MORE = [Handler("work", work, max_attempts=2)]


@pytest.fixture
async def api(tmp_path, autojump_clock):
    async with opened(tmp_path, worker=True, more=MORE) as api:
        yield api


async def until(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await trio.sleep(0.01)


async def to_the_end(conversation: Conversation) -> list[Event]:
    events = []
    while (event := await conversation.event()).name:
        events.append(event)
    return events


async def test_a_stream_tells_the_life_of_a_job(api: Api, autojump_clock):
    posted = await api.post({"type": "work", "input": {"steps": 3}, "delay": 10})
    path = posted.headers["location"] + "/events"
    async with api.asking("GET", path) as conversation:
        events = await to_the_end(conversation)
    head = conversation.reply
    assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")
    assert head.headers["cache-control"] == "no-store"
    names = [event.name for event in events]
    assert names[:3] == ["job.scheduled", "job.queued", "job.started"]
    assert names[-1] == "job.done"
    assert {"job.progress", "job.log"} <= set(names)
    ids = [event.id for event in events]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {event.data["id"] for event in events} == {posted.json["id"]}
    lines = [line for event in events for line in event.data.get("lines", [])]
    assert [line["message"] for line in lines] == ["step 1", "step 2", "step 3"]
    progress = [event.data["progress"] for event in events if event.name == "job.progress"]
    assert progress[-1] == {"done": 3.0, "total": 3.0, "note": "steps"}
    assert events[-1].data["status"] == "done"


async def test_retries_and_cancels_have_their_names(api: Api, autojump_clock):
    body = {"type": "work", "input": {"steps": 0, "fails": True}, "backoff": [5], "delay": 1}
    posted = await api.post(body)
    async with api.asking("GET", posted.headers["location"] + "/events") as conversation:
        names = [event.name for event in await to_the_end(conversation)]
    assert names[-4:] == ["job.retrying", "job.queued", "job.started", "job.failed"]
    posted = await api.post({"type": "sleep", "input": {"seconds": 50}})
    path = posted.headers["location"]
    async with api.asking("GET", path + "/events") as conversation:
        await trio.sleep(1)
        await api.ask("POST", path + "/cancel")
        names = [event.name for event in await to_the_end(conversation)]
    assert names[-2:] == ["job.cancelling", "job.cancelled"]


async def test_one_who_comes_back_misses_nothing_and_hears_nothing_twice(api: Api, autojump_clock):
    posted = await api.post({"type": "work", "input": {"steps": 3}, "delay": 2})
    path = posted.headers["location"] + "/events"
    async with api.asking("GET", path) as conversation:
        whole = await to_the_end(conversation)
    for at, event in enumerate(whole):
        headers = {"Last-Event-ID": str(event.id)}
        async with api.asking("GET", path, headers=headers) as conversation:
            rest = await to_the_end(conversation)
        if at == len(whole) - 1:
            assert conversation.reply.status == 204
        assert [one.id for one in rest] == [one.id for one in whole[at + 1 :]]


async def test_the_end_is_known_also_where_others_have_gone_on(api: Api, autojump_clock):
    posted = await api.post({"type": "noop"})
    path = posted.headers["location"] + "/events"
    async with api.asking("GET", path) as conversation:
        last = (await to_the_end(conversation))[-1]
    await api.post([{"type": "noop"}] * 1000)
    await trio.sleep(5)
    for query, headers in (("", {"Last-Event-ID": str(last.id)}), (f"?after={last.id}", {})):
        reply = await api.ask("GET", path + query, headers=headers)
        assert (reply.status, reply.body) == (204, b"")


async def test_a_stream_of_a_finished_job_tells_how_it_ended(api: Api, autojump_clock):
    posted = await api.post({"type": "noop", "wait": 5})
    reply = await api.ask("GET", posted.headers["location"] + "/events")
    assert reply.body.count(b"event: ") == reply.body.count(b"event: job.done") == 1


async def test_a_number_of_another_database_begins_anew(api: Api, autojump_clock):
    posted = await api.post({"type": "noop", "wait": 5})
    headers = {"Last-Event-ID": "123456789"}
    reply = await api.ask("GET", posted.headers["location"] + "/events", headers=headers)
    assert reply.body.count(b"event: job.done") == 1


async def test_silence_is_broken_by_pings(api: Api, autojump_clock):
    posted = await api.post({"type": "noop", "delay": 50})
    start = trio.current_time()
    async with api.asking("GET", posted.headers["location"] + "/events") as conversation:
        assert (await conversation.event()).name == "job.scheduled"
        assert (await conversation.event()).name == "ping"
        assert trio.current_time() - start == pytest.approx(15, abs=0.1)
        conversation.leave()


async def test_a_job_that_vanishes_ends_its_stream(api: Api, autojump_clock):
    path = (await api.post({"type": "noop", "delay": 500})).headers["location"]
    async with api.asking("GET", path + "/events") as conversation:
        await conversation.event()
        id_ = path.removeprefix("/jobs/")
        await api.store.cancel([id_], 0.0)
        await api.store.remove([id_])
        assert {event.name for event in await to_the_end(conversation)} <= {"ping"}


@pytest.mark.parametrize("path", ["/events", "/jobs/{}/events", "/jobs/{}/logs?follow"])
async def test_a_stream_ends_when_its_client_or_the_service_does(
    api: Api, autojump_clock, path: str
):
    posted = await api.post({"type": "noop", "delay": 500})
    path = path.format(posted.json["id"])
    for end in ("leave", "drain"):
        start = trio.current_time()
        async with api.asking("GET", path) as conversation:
            await trio.sleep(1)
            if end == "leave":
                conversation.leave()
            else:
                api.service.drain()
        assert trio.current_time() - start == pytest.approx(1, abs=0.1)
    assert not api.service.watch._all()


async def test_all_jobs_can_be_watched_at_once(api: Api, autojump_clock):
    async with api.asking("GET", "/events") as conversation:
        await trio.sleep(1)
        ids = {(await api.post({"type": "work", "input": {"steps": 1}})).json["id"]}
        ids.add((await api.post({"type": "noop"})).json["id"])
        done, events = set(), []
        while done != ids:
            events.append(await conversation.event())
            if events[-1].name == "job.done":
                done.add(events[-1].data["id"])
        conversation.leave()
    [line] = [event for event in events if event.name == "job.log"]
    assert line.data["first_line"] == 1
    after = next(event for event in events if event.name != "ping")
    async with api.asking("GET", f"/events?after={after.id}") as conversation:
        again = [await conversation.event() for _ in events[events.index(after) + 1 :]]
        conversation.leave()
    assert [event.id for event in again] == [
        event.id for event in events[events.index(after) + 1 :]
    ]


async def test_changes_that_are_forgotten_are_owned_up_to(api: Api, autojump_clock):
    async with api.asking("GET", "/events", headers={"Last-Event-ID": "99999"}) as conversation:
        event = await conversation.event()
        assert event.name == "lost"
        assert event.data["detail"]
        conversation.leave()


async def test_lines_are_followed_one_by_one(api: Api, autojump_clock):
    posted = await api.post({"type": "work", "input": {"steps": 3}, "delay": 1})
    path = posted.headers["location"] + "/logs?follow"
    async with api.asking("GET", path) as conversation:
        lines = await to_the_end(conversation)
    assert [event.data["message"] for event in lines] == ["step 1", "step 2", "step 3"]
    assert [event.id for event in lines] == [1, 2, 3]
    later = await api.ask("GET", path, headers={"Last-Event-ID": "2"})
    assert later.body.count(b"event: job.log") == 1
    assert (await api.ask("GET", path, headers={"Last-Event-ID": "3"})).status == 204


@pytest.mark.parametrize("path", ["/events", "/jobs/{}/events"])
@pytest.mark.parametrize("wrong", ["?after=x", "?limit=1", "Last-Event-ID"])
async def test_a_place_that_is_none_is_refused(api: Api, autojump_clock, path, wrong):
    posted = await api.post({"type": "noop", "delay": 500})
    headers = {"Last-Event-ID": "-1"} if wrong == "Last-Event-ID" else {}
    query = "" if headers else wrong
    reply = await api.ask("GET", path.format(posted.json["id"]) + query, headers=headers)
    assert (reply.status, reply.json["type"]) == (400, "/problems/malformed")


async def test_head_does_not_start_a_stream(api: Api, autojump_clock):
    reply = await api.ask("HEAD", "/events")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-type"] == "text/event-stream"


async def test_events_go_out_through_the_edge_and_end_with_the_client(edge_serve, tmp_path):
    settings = Settings(data_dir=str(tmp_path))
    async with opened(tmp_path, settings=settings) as api:
        server = await edge_serve(create_app(api.service, settings))
        posted = await api.post({"type": "noop"})
        path = posted.headers["location"].encode()
        with trio.fail_after(10):
            async with server.connect() as stream:
                request = b"GET " + path + b"/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
                await stream.send_all(request)
                seen = b""
                while b"event: job.queued" not in seen:
                    seen += await stream.receive_some()
                assert b"text/event-stream" in seen
                assert api.service.watch._all()
                await api.ask("POST", posted.headers["location"] + "/cancel")
                while b"event: job.cancelled" not in seen:
                    seen += await stream.receive_some()
            async with server.connect() as stream:
                await stream.send_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await stream.receive_some()
                await until(lambda: len(api.service.watch._all()) == 1)
            await until(lambda: not api.service.watch._all())
