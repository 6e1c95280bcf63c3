"""The ledger against the server: is every acknowledged job there, and did it end once?"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import httpx
import trio

from .plan import PATIENCE
from .posting import cut_short, http_clients

Job = dict[str, Any]

KEPT = ("id", "status", "state", "attempt", "max_attempts", "version", "created_at", "finished_at")
LAST_LOOKS = 5.0  # seconds that the audit has after Ctrl-C
AGAIN = 0.1  # seconds between two looks at what is not final yet

UNREAD, NOT_FINAL = "could not be read", "not final in time"


async def audit(
    url: str, ids: list[str], clients: int, patience: float, stop: trio.Event
) -> tuple[dict[str, Job], dict[str, list[str]]]:
    """The jobs as they ended, and what is wrong with which ids.

    Polls `GET /jobs/{id}` until all are final or `patience` is over, then reads all once more:
    what was final must not have moved again. After `stop`, it has seconds for both.
    """
    left = unique = list(dict.fromkeys(ids))
    first: dict[str, Job] = {}
    second: dict[str, Job] = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cut_short, stop, nursery.cancel_scope, LAST_LOOKS)
        with trio.move_on_after(patience):
            while left:
                await _read(url, left, clients, first)
                left = [id_ for id_ in left if not _is_settled(first[id_])]
                await trio.sleep(AGAIN if left else 0)
        with trio.move_on_after(patience):
            await _read(url, [id_ for id_ in unique if id_ in first], clients, second)
        nursery.cancel_scope.cancel()
    return first, _faults(ids, first, second)


async def _read(url: str, ids: Iterable[str], clients: int, into: dict[str, Job]) -> None:
    todo = iter(ids)

    async def one_client(client: httpx.AsyncClient) -> None:
        for id_ in todo:
            try:
                answer = await client.get(f"{url}/{id_}", timeout=PATIENCE)
                job = answer.json() if answer.status_code == 200 else {}
                into[id_] = {"answer": answer.status_code, **{name: job.get(name) for name in KEPT}}
            except (httpx.HTTPError, ValueError, AttributeError) as error:
                into[id_] = {"answer": type(error).__name__, "status": None}

    async with http_clients(clients) as https, trio.open_nursery() as nursery:
        for client in https:
            nursery.start_soon(one_client, client)


def _is_settled(job: Job) -> bool:
    return job["answer"] == 404 or job["status"] in ("done", "failed")


def _faults(ids: list[str], first: dict[str, Job], second: dict[str, Job]) -> dict[str, list[str]]:
    faults: dict[str, list[str]] = {}
    if twice := [id_ for id_, times in Counter(ids).items() if times > 1]:
        faults["acknowledged twice"] = twice
    for id_ in dict.fromkeys(ids):
        if (fault := _fault(id_, first.get(id_), second.get(id_))) is not None:
            faults.setdefault(fault, []).append(id_)
    return faults


def _fault(id_: str, first: Job | None, second: Job | None) -> str | None:
    if first is None or first["answer"] not in (200, 404):
        return UNREAD
    if first["answer"] == 404:
        return "lost: the server does not know it"
    if not _is_settled(first):
        return NOT_FINAL
    if first["id"] != id_ or not first["finished_at"] or not first["version"]:
        return "final, but without its id, finished_at or version"
    if first["status"] == "done" and not 1 <= (first["attempt"] or 0) <= first["max_attempts"]:
        return "done, but after an impossible number of attempts"
    if second is not None and second["answer"] in (200, 404) and second != first:
        return "final, and then moved again"
    return None
