"""The routes: which call is whose."""

from typing import Any, cast

import msgspec
import trio
from quart import Response, g, request
from quart_trio import QuartTrio

from ..builtin.outbox import list_outbox
from ..config import Settings
from ..service import BulkAction, Service
from . import bulk, events, history, jobs, logs, metrics, moves, problems, queues
from .answer import Answer
from .streams import StreamBody, Streamed


def respond(answer: Answer | Streamed) -> Response:
    """`answer` as Quart takes it."""
    if isinstance(answer, Streamed):
        body = b"" if request.method == "HEAD" else StreamBody(answer.produce)
        headers: Any = {"Content-Type": answer.content_type, "X-Accel-Buffering": "no"}
        return Response(body, 200, headers)
    headers = {**answer.headers, "Content-Type": answer.content_type}
    response = Response(answer.body, answer.status, headers)
    if not answer.has_body:
        del response.headers["Content-Type"]
        del response.headers["Content-Length"]
    return response


async def _body() -> bytes:
    return cast(bytes, await request.get_data(as_text=False))


def _header(name: str) -> str:
    return request.headers.get(name, "")


def add_routes(app: QuartTrio, service: Service, settings: Settings) -> None:
    """All of them."""
    _add_jobs(app, service, settings)
    _add_moves(app, service, settings)
    _add_history(app, service)
    _add_bulk(app, service, settings)
    _add_queues(app, service)
    _add_house(app, service, settings)


def _add_jobs(app: QuartTrio, service: Service, settings: Settings) -> None:
    @app.post("/jobs")
    async def create_jobs() -> Response:
        return respond(
            await jobs.create(
                service,
                settings,
                body=await _body(),
                content_type=_header("Content-Type"),
                query_string=request.query_string,
                prefer=_header("Prefer"),
                key=_header("Idempotency-Key"),
            )
        )

    @app.get("/jobs")
    async def list_jobs() -> Response:
        return respond(await jobs.index(service, query_string=request.query_string))

    @app.get("/jobs/<id_>")
    async def read_job(id_: str) -> Response:
        return respond(
            await jobs.read(
                service,
                id_,
                query_string=request.query_string,
                prefer=_header("Prefer"),
                if_none_match=_header("If-None-Match"),
            )
        )


def _add_moves(app: QuartTrio, service: Service, settings: Settings) -> None:
    @app.post("/jobs/<id_>/cancel")
    async def cancel_job(id_: str) -> Response:
        return respond(await moves.cancel(service, id_))

    @app.post("/jobs/<id_>/retry")
    async def retry_job(id_: str) -> Response:
        return respond(await moves.retry(service, id_))

    @app.post("/jobs/<id_>/run-now")
    async def run_job_now(id_: str) -> Response:
        return respond(await moves.run_now(service, id_))

    @app.post("/jobs/<id_>/snooze")
    async def snooze_job(id_: str) -> Response:
        return respond(
            await moves.snooze(
                service,
                settings,
                id_,
                body=await _body(),
                content_type=_header("Content-Type"),
                query_string=request.query_string,
            )
        )

    @app.patch("/jobs/<id_>")
    async def amend_job(id_: str) -> Response:
        return respond(
            await moves.amend(
                service,
                settings,
                id_,
                body=await _body(),
                content_type=_header("Content-Type"),
                if_match=_header("If-Match"),
            )
        )

    @app.delete("/jobs/<id_>")
    async def remove_job(id_: str) -> Response:
        return respond(await moves.remove(service, id_))


def _add_history(app: QuartTrio, service: Service) -> None:
    @app.get("/jobs/<id_>/attempts")
    async def read_attempts(id_: str) -> Response:
        return respond(await history.attempts(service, id_))

    @app.get("/jobs/<id_>/logs")
    async def read_logs(id_: str) -> Response:
        return respond(
            await logs.read(
                service,
                id_,
                query_string=request.query_string,
                last_event_id=_header("Last-Event-ID"),
            )
        )

    @app.get("/jobs/<id_>/why")
    async def explain_waiting(id_: str) -> Response:
        return respond(await history.why(service, id_))

    @app.get("/jobs/<id_>/payload")
    async def download_payload(id_: str) -> Response:
        return respond(await history.payload(service, id_))

    @app.get("/jobs/<id_>/result")
    async def download_result(id_: str) -> Response:
        return respond(await history.result(service, id_))

    @app.get("/jobs/<id_>/events")
    async def follow_job(id_: str) -> Response:
        return respond(
            await events.of_job(
                service,
                id_,
                query_string=request.query_string,
                last_event_id=_header("Last-Event-ID"),
            )
        )

    @app.get("/events")
    async def follow_all() -> Response:
        return respond(
            await events.of_all(
                service,
                query_string=request.query_string,
                last_event_id=_header("Last-Event-ID"),
            )
        )


def _add_bulk(app: QuartTrio, service: Service, settings: Settings) -> None:
    async def act(action: BulkAction) -> Response:
        return respond(
            await bulk.act(
                service,
                settings,
                action,
                body=await _body(),
                content_type=_header("Content-Type"),
                accept=_header("Accept"),
                request_id=g.request_id,
            )
        )

    @app.post("/jobs/cancel")
    async def cancel_jobs() -> Response:
        return await act("cancel")

    @app.post("/jobs/retry")
    async def retry_jobs() -> Response:
        return await act("retry")

    @app.post("/jobs/delete")
    async def delete_jobs() -> Response:
        return await act("delete")


def _add_queues(app: QuartTrio, service: Service) -> None:
    @app.get("/queues")
    async def list_queues() -> Response:
        return respond(await queues.index(service))

    @app.get("/queues/<name>")
    async def read_queue(name: str) -> Response:
        return respond(await queues.read(service, name))

    @app.post("/queues/<name>/pause")
    async def pause_queue(name: str) -> Response:
        return respond(await queues.pause(service, name))

    @app.post("/queues/<name>/resume")
    async def resume_queue(name: str) -> Response:
        return respond(await queues.resume(service, name))

    @app.post("/queues/<name>/purge")
    async def purge_queue(name: str) -> Response:
        return respond(
            await queues.purge(service, name, accept=_header("Accept"), request_id=g.request_id)
        )


def _add_house(app: QuartTrio, service: Service, settings: Settings) -> None:
    @app.get("/outbox")
    async def outbox() -> Response:
        mails = await trio.to_thread.run_sync(list_outbox, settings.data_dir, 100)
        return respond(Answer(200, msgspec.json.encode({"mails": mails})))

    @app.get("/livez")
    async def alive() -> Response:
        return respond(Answer(200, b'{"status":"alive"}'))

    @app.get("/readyz")
    async def ready() -> Response:
        await service.check()
        return respond(Answer(200, b'{"status":"ready"}'))

    @app.get("/metrics")
    async def expose_metrics() -> Response:
        return respond(await metrics.expose(service, accept=_header("Accept")))

    @app.get("/problems/<slug>")
    async def explain(slug: str) -> Response:
        kind = problems.BY_SLUG.get(slug)
        if kind is None:
            raise problems.NoSuchPath(f"There is no problem called {slug!r}.")
        return respond(Answer(200, msgspec.json.encode(kind)))
