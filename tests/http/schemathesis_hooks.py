"""What no OpenAPI document can say, for schemathesis: loaded by `st` (see test_openapi_live)."""

import time
import uuid
from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import ensure_resource_availability

ANY_BYTES = {"application/octet-stream", "application/x-ndjson", "text/plain"}
LONGEST_WAIT = 0.05


@schemathesis.serializer("application/x-ndjson")
def lines(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schemathesis.check
def what_was_made_is_there(context: Any, response: Any, case: Any) -> bool | None:
    """A job is there at once; its result is not."""
    if case.path.endswith("/result"):
        return None
    return ensure_resource_availability(context, response, case)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Nobody waits for long; and what should be accepted makes sense."""
    query = case.query
    query.pop("follow", None)
    if is_right(case):
        make_sense(case, query)
    elif case.media_type in ANY_BYTES:
        query["nonsense"] = "there are no wrong bytes"
        query.pop("type", None)
    if isinstance(query.get("wait"), int | float):
        query["wait"] = min(query["wait"], LONGEST_WAIT)
    for body in (case.body, case.body.get("claim") if isinstance(case.body, dict) else None):
        if isinstance(body, dict) and isinstance(body.get("wait"), int | float):
            body["wait"] = min(body["wait"], LONGEST_WAIT)


def is_right(case: Any) -> bool:
    parts = [case.meta.generation, *case.meta.components.values()] if case.meta else []
    return bool(parts) and all(part.mode.is_positive for part in parts)


def make_sense(case: Any, query: dict[str, Any]) -> None:
    if case.media_type == "application/json":
        case.body = with_whole_numbers(case.body)
    call = f"{case.method} {case.path}"
    if call == "POST /jobs":
        new_jobs(case, query)
    elif call == "GET /jobs" and "limit" in query:
        query["limit"] = min(int(query["limit"]), 50)  # with bodies
    elif call == "PATCH /jobs/{id}" and "run_at" in case.body:
        case.body["run_at"] = soon()
    elif call == "POST /worker/settle":
        for end in case.body["jobs"]:
            end |= {"id": str(uuid.uuid4()), "outcome": "done"}
            for name in ("after", "result", "content_type"):
                end.pop(name, None)


def new_jobs(case: Any, query: dict[str, Any]) -> None:
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if case.media_type == "application/octet-stream":
        upload(query)
        return
    for name in query.keys() - {"wait"}:
        del query[name]
    if case.media_type == "application/x-ndjson":
        query.clear()
        case.headers.pop("Idempotency-Key", None)
    elif isinstance(case.body, dict):
        acceptable(case.body)
    else:
        query.clear()
        for job in case.body:
            acceptable(job)
            job.pop("wait", None)


def acceptable(job: dict[str, Any]) -> None:
    """The schema cannot know which types there are, nor what time it is."""
    job["type"] = "noop"
    if job.get("run_at") is not None:
        job["run_at"] = soon()
    if job.get("deadline") is not None:
        job["deadline"] = 19 * 365 * 86_400
    if isinstance(job.get("payload"), str):
        job["payload"] = "e30="
    if job.get("callback_url") is not None:
        job["callback_url"] = "https://hooks.invalid/"


def upload(query: dict[str, Any]) -> None:
    acceptable(query)
    query |= {"type": "process_file", "operation": "count"}
    if isinstance(query.get("tags"), str):
        query["tags"] = "a,b"
    if query.get("delay") is not None:
        query.pop("run_at", None)
    if query.get("unique_key") is None:
        for name in ("unique_for", "on_conflict"):
            query.pop(name, None)
    query["backoff"] = "fixed"


def soon() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3_600))


def with_whole_numbers(value: Any) -> Any:
    """1.0 is an integer to JSON Schema, and none to us."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: with_whole_numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [with_whole_numbers(inner) for inner in value]
    return value
