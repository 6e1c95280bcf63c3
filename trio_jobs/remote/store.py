"""A store at the other end of HTTP, as far as a worker needs one."""

import itertools
import os
import re
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import trio

from ..client.caller import Caller
from ..client.errors import ClientError, Forbidden, Invalid, Malformed, NotFound, Unauthorized
from ..client.place import Place
from ..client.trio_wire import TrioWire
from ..client.wire import Request
from ..errors import Denied, Unavailable
from ..storage.doorbell import Doorbell
from ..storage.records import Claimed, Lease, Report, Settlement
from . import wire
from .pulse import RemotePulse

WAIT = 2.0
"""Seconds that a claim waits for a job. It cannot be called off without losing what it may bring,
so this is also how long a worker may take to hear that more of its slots are free, or to stop."""
PATIENCE = 10.0
MOST = 1_000  # leases in one call
LOAD = 4_000_000  # characters of results in one call: a quarter of what its body may have


class RemoteStore:
    """See `storage.work.WorkStore`. It is ready when `run` says so.

    `timeout_of(type)` is how long its jobs may take, if the worker knows. `leave` is set when the
    service has told this worker to stop.
    """

    def __init__(
        self, place: Place, *, timeout_of: Callable[[str], float | None] = lambda _: None
    ) -> None:
        self._place = place
        self._timeout_of = timeout_of
        self._numbers = itertools.count(1)
        self._tokens: dict[Lease, str] = {}
        self._timeouts: dict[Lease, float | None] = {}
        self._cancelled: set[Lease] = set()
        host = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:60]
        self._identity = f"host-{host}/{os.getpid()}-{secrets.token_hex(4)}"
        self.doorbell = Doorbell()
        self.cancels_bell = Doorbell()
        self.leave = trio.Event()

    @property
    def identity(self) -> str:
        return self._identity

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        http = TrioWire(self._place)
        self._caller = Caller(http, self._place.url, PATIENCE)
        self._loop = trio.lowlevel.current_trio_token()
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await http.close()

    async def claim(
        self,
        worker: str,
        types: Sequence[str],
        limit: int,
        now: float,
        expires_at: float,
        last_chance: bool = True,
        queues: Mapping[str, int] | None = None,
    ) -> list[Claimed]:
        """As the store's, but it waits for some."""
        wish = {"types": types, "max": min(limit, MOST), "lease": expires_at - now, "wait": WAIT}
        wish |= {"last_chance": last_chance, "queues": queues}
        told = await self._ask("claim", wish, repeat=False, wait=WAIT)
        if not told.jobs:
            self.doorbell.ring()  # it has waited already
        jobs = []
        for raw in told.jobs:
            job = msgspec.json.decode(raw, type=wire.Job)
            claimed = job.claimed(next(self._numbers), now)
            self._tokens[claimed.lease] = job.lease_token
            self._timeouts[claimed.lease] = self._timeout_of(job.type)
            jobs.append(claimed)
        return jobs

    async def report(self, reports: Sequence[Report], now: float) -> set[str]:
        leases = list(dict.fromkeys(Lease(report.id, report.token) for report in reports))
        said = {
            one: wire.words([r for r in reports if (r.id, r.token) == (one.id, one.token)])
            for one in leases
        }
        told = await self._ask("heartbeat", self.beats(leases, said), repeat=False)
        return self.hear(leases, told)

    async def cancels(self, worker: str) -> list[Lease]:
        await trio.lowlevel.checkpoint()
        return list(self._cancelled)

    async def settle(
        self, settlements: Sequence[Settlement], now: float, reports: Sequence[Report] = ()
    ) -> set[str]:
        """As the store's. Said again after an answer that never came, it is accepted again."""
        accepted: set[str] = set()
        for some in _portions(settlements):
            ends = []
            for one in some:
                held = Lease(one.id, one.token)
                said = wire.words([r for r in reports if (r.id, r.token) == (one.id, one.token)])
                if held in self._tokens:
                    begun = wire.lease(held, self._tokens[held])
                    ends.append(begun | wire.end(one, now) | said)
            told = await self._ask("settle", {"jobs": ends}, repeat=True)
            accepted |= {ended.id for ended in told.settled if ended.ok}
            for one in some:
                self._forget(Lease(one.id, one.token))
        return accepted

    def pulse(self) -> RemotePulse:
        return RemotePulse(self, self._place, self._loop)

    # ── for the pulse, too ────────────────────────────────────────────────────────────────────

    def beats(
        self, leases: Sequence[Lease], said: Mapping[Lease, dict[str, Any]] | None = None
    ) -> dict[str, Any]:
        """The body of a heartbeat; leases that are gone by now are left out."""
        jobs = [
            wire.lease(held, token)
            | {"timeout": self._timeouts.get(held)}
            | (said or {}).get(held, {})
            for held in leases
            if (token := self._tokens.get(held)) is not None
        ]
        return {"worker": self.identity, "jobs": jobs}

    def hear(self, leases: Sequence[Lease], told: wire.Told) -> set[str]:
        """What a heartbeat was answered: the ids of those that are held."""
        by_id = {held.id: held for held in leases}
        held = set()
        for raw in told.jobs:
            beaten = msgspec.json.decode(raw, type=wire.Beaten)
            if beaten.ok:
                held.add(beaten.id)
                if beaten.cancel == "cancelled":
                    self._cancelled.add(by_id[beaten.id])
                    self.cancels_bell.ring()
        if told.directive == "stop":
            self.leave.set()
        return held

    async def _ask(
        self, call: str, body: dict[str, Any], *, repeat: bool, wait: float = 0.0
    ) -> wire.Told:
        request = request_of(call, {"worker": self.identity, **body})
        try:
            answer = await self._caller.call(request, repeat=repeat, wait=wait)
        except ClientError as error:
            raise translated(error) from error
        told = msgspec.json.decode(answer.body, type=wire.Told)
        if told.directive == "stop":
            self.leave.set()
        return told

    def _forget(self, held: Lease) -> None:
        self._tokens.pop(held, None)
        self._timeouts.pop(held, None)
        self._cancelled.discard(held)


def request_of(call: str, body: dict[str, Any]) -> Request:
    headers = {"Content-Type": "application/json"}
    return Request(
        "POST",
        f"/worker/{call}",
        headers=headers,
        body=msgspec.json.encode(body),
        slow=call == "claim",
    )


def translated(error: ClientError) -> Denied | Unavailable:
    """What a worker waits out, and what it cannot help."""
    if isinstance(error, Unauthorized | Forbidden | Invalid | Malformed | NotFound):
        return Denied(str(error))
    return Unavailable(str(error))


def _portions(settlements: Sequence[Settlement]) -> list[list[Settlement]]:
    """A job once in each, and not too much together."""
    portions: list[list[Settlement]] = []
    ids: set[str] = set()
    load = 0
    for one in settlements:
        size = len(one.result_text or one.result_hex or "") + len(one.error_traceback or "")
        full = len(ids) == MOST or load + size > LOAD
        if not portions or one.id in ids or full:
            portions.append([])
            ids, load = set(), 0
        portions[-1].append(one)
        ids.add(one.id)
        load += size
    return portions
