"""Commands through a running service."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from .exits import Exit, fail
from .place import Told
from .remote import Server

SLICE = 10_000  # ids in one request: less than half of what its body may have
AGAIN = 1.0


class OverHttp:
    """See `place.Place`."""

    def __init__(self, url: str) -> None:
        self._server = Server(url)

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
                for text in answer.iter_lines():
                    if text.startswith("data:"):
                        line = json.loads(text.removeprefix("data:"))
                        told(line)
                        after = line["n"]
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


def _job(id_: str) -> str:
    return f"/jobs/{quote(id_, safe='')}"


def _queue(name: str) -> str:
    return f"/queues/{quote(name, safe='')}"
