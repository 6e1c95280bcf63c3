"""Commands through a running service."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from .exits import Exit, fail
from .place import PAGE, Told
from .remote import Server, events

SLICE = 10_000  # ids in one request: less than half of what its body may have
AGAIN = 1.0


class OverHttp:
    """See `place.Place`."""

    def __init__(self, url: str) -> None:
        self._server = Server(url)

    def enqueue(self, request: Mapping[str, Any]) -> Any:
        return self._server.call("POST", "/jobs", json=request)

    def upload(self, params: Mapping[str, Any], body: bytes) -> Any:
        headers = {"Content-Type": "application/octet-stream"}
        return self._server.call("POST", "/jobs", params=params, content=body, headers=headers)

    def enqueue_lines(self, chunks: Iterator[bytes]) -> dict[str, Any]:
        headers = {"Content-Type": "application/x-ndjson"}
        with self._server.stream("POST", "/jobs", content=chunks, headers=headers) as answer:
            report: dict[str, Any] = json.loads(answer.read())
        return report

    def get(self, id_: str) -> Any:
        return self._server.call("GET", _job(id_))

    def wait(self, id_: str, seconds: float) -> Any:
        return self._server.call("GET", _job(id_), params={"wait": seconds})

    def result(self, id_: str) -> bytes:
        with self._server.stream("GET", f"{_job(id_)}/result") as answer:
            return answer.read()

    def list_jobs(self, filter: Mapping[str, str], limit: int) -> list[Any]:
        params = {**filter, "limit": limit}
        jobs: list[Any] = self._server.call("GET", "/jobs", params=params)["jobs"]
        return jobs

    def newest(self, most: int) -> list[str]:
        ids: list[str] = []
        query: dict[str, Any] = {"limit": PAGE}
        while len(ids) < most:
            page = self._server.call("GET", "/jobs", params=query)
            ids += [job["id"] for job in page["jobs"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        return ids[:most]

    def one(self, action: str, id_: str) -> Any:
        if action == "delete":
            return self._server.call("DELETE", _job(id_))
        return self._server.call("POST", f"{_job(id_)}/{action}")

    def many(
        self,
        action: str,
        ids: Sequence[str] | None,
        filter: Mapping[str, str] | None,
        *,
        dry_run: bool,
        told: Told,
    ) -> dict[str, Any]:
        path = f"/jobs/{action}"
        if ids is None:
            return self._bulk(path, {"filter": filter, "dry_run": dry_run}, told)
        ids = list(dict.fromkeys(ids))
        total = {"matched": 0, "done": 0, "skipped": 0, "scanned": 0.0, "finished": True}
        for start in range(0, len(ids), SLICE):
            some = ids[start : start + SLICE]
            part = self._bulk(path, {"ids": some, "dry_run": dry_run}, told)
            for name in ("matched", "done", "skipped"):
                total[name] += part[name]
            total["scanned"] = min(1.0, (start + SLICE) / len(ids))
            total["finished"] = total["finished"] and part["finished"]
            told(total)
        return total

    def _bulk(self, path: str, request: dict[str, Any], told: Told) -> dict[str, Any]:
        last: dict[str, Any] = {}
        headers = {"Accept": "application/x-ndjson"}
        with self._server.stream("POST", path, json=request, headers=headers) as answer:
            for line in answer.iter_lines():
                last = json.loads(line)
                if "problem" in last:
                    fail(str(last["problem"].get("detail", last["problem"])), Exit.REFUSED)
                told(last)
        if not last:
            fail("the service ended its answer too early", Exit.UNREACHABLE)
        return last

    def why(self, id_: str) -> dict[str, Any]:
        found: dict[str, Any] = self._server.call("GET", f"{_job(id_)}/why")
        return found

    def logs(self, id_: str, *, follow: bool, told: Told) -> None:
        path, after = f"{_job(id_)}/logs", 0
        while True:
            page = self._server.call("GET", path, params={"after": after})
            for line in page["lines"]:
                told(line)
                after = line["n"]
            if page["next"] is None:
                break
        while follow:
            start = after
            # To one who has all lines of a job that has ended, the answer is 204.
            headers = {"Last-Event-ID": str(after)}
            with self._server.stream("GET", f"{path}?follow", headers=headers) as answer:
                if answer.status_code == 204:
                    return
                for event in events(answer):
                    told(event.data)
                    after = event.data["n"]
            if after == start:
                time.sleep(AGAIN)

    def queues(self) -> list[dict[str, Any]]:
        queues: list[dict[str, Any]] = self._server.call("GET", "/queues")["queues"]
        return queues

    def pause(self, name: str) -> dict[str, Any]:
        queue: dict[str, Any] = self._server.call("POST", f"{_queue(name)}/pause")
        return queue

    def resume(self, name: str) -> dict[str, Any]:
        queue: dict[str, Any] = self._server.call("POST", f"{_queue(name)}/resume")
        return queue

    def purge(self, name: str, *, told: Told) -> dict[str, Any]:
        return self._bulk(f"{_queue(name)}/purge", {}, told)

    def tail(self, told: Told) -> None:
        headers: dict[str, str] = {}
        while True:
            with self._server.stream("GET", "/events", headers=headers) as answer:
                for event in events(answer):
                    told({"seq": event.id, "event": event.name, **event.data})
                    headers["Last-Event-ID"] = str(event.id)
            time.sleep(AGAIN)  # the service has stopped; is it back?

    def create_token(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        token: dict[str, Any] = self._server.call("POST", "/tokens", json=wish)
        return token

    def tokens(self) -> list[dict[str, Any]]:
        tokens: list[dict[str, Any]] = self._server.call("GET", "/tokens")["tokens"]
        return tokens

    def revoke_token(self, id_: str) -> None:
        self._server.call("DELETE", f"/tokens/{quote(id_, safe='')}")

    def types(self) -> list[dict[str, Any]]:
        return self._told_about("types")["types"]

    def workers(self) -> list[dict[str, Any]]:
        found = self._told_about("workers")
        return found["workers"] + found.get("remote", [])

    def direct(self, directive: str, names: list[str]) -> list[dict[str, Any]]:
        told = self._server.call("POST", f"/workers/{directive}", json={"workers": names})
        return [{"name": name, "directive": told["directive"]} for name in told["workers"]]

    def _told_about(self, what: str) -> dict[str, list[dict[str, Any]]]:
        missing = f"this service does not tell its {what}: it is older than this command"
        found: dict[str, list[dict[str, Any]]]
        found = self._server.call("GET", f"/{what}", missing=missing)
        return found


def _job(id_: str) -> str:
    return f"/jobs/{quote(id_, safe='')}"


def _queue(name: str) -> str:
    return f"/queues/{quote(name, safe='')}"
