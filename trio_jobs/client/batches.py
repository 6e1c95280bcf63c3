"""Single jobs of many callers, sent together: an array of those that wait, as soon as one may go.

There is no task in the background. Of those that wait, one leads: it takes the others' jobs along,
sends the array under one Idempotency-Key, and tells each what became of its job. While it is under
way more callers gather, so that the busier they are, the larger the arrays become. A leader that
is cancelled, or has no time left, hands its array on, key and all, to one of those in it: sent
again by another, it still lands once.

An array is all or nothing. Where the service refuses one, nothing of it is stored, and its members
are sent off alone: a bad job fails its own caller and nobody else.
"""

import threading
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple
from uuid import uuid4

import msgspec

from .caller import Caller
from .errors import ApiError as Refusal
from .errors import ServerFailed, TimedOut, Unavailable, refusal
from .job import Job
from .wire import Answer, Flag, Request

MOST_JOBS = 250
MOST_BYTES = 60_000  # bodies above 64 kB cost the service a thread
UNDER_WAY = 2  # arrays at a time: while one is written to the disk there, another is read


class Alone(NamedTuple):
    """The array was refused: nothing of it is stored."""


class Batch(NamedTuple):
    """Jobs that travel together, and go on together whoever leads them."""

    request: Request
    members: "list[Member]"


class Lead(NamedTuple):
    """Take those that wait along, or lead this batch on."""

    batch: Batch | None = None


News = Alone | Job | Refusal


class Member:
    """A caller with one job. With its flag raised, it has news to read, or leads to take."""

    __slots__ = ("body", "flag", "leading", "leads", "left", "news")

    def __init__(self, body: bytes, flag: Flag) -> None:
        self.body = body
        self.flag = flag
        self.news: News | None = None
        self.leads: list[Lead] = []
        self.leading = False
        self.left = False


class _Jobs(msgspec.Struct):
    jobs: list[Job]


_jobs = msgspec.json.Decoder(_Jobs)


class Batches:
    """Where the callers of one client meet; those of a blocking client are threads."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._wire = caller.wire
        self._lock = threading.Lock()
        self._waiting: dict[Member, None] = {}  # in the order in which they came
        self._free = UNDER_WAY

    async def enqueue(self, body: bytes, give_up: float) -> Job | None:
        """The stored job; None: it has to go alone. Raises what Caller.call raises.

        A caller that is cancelled while it waits for its turn sends nothing; later, its job may be
        stored all the same.
        """
        me = Member(body, self._wire.flag())
        with self._lock:
            self._waiting[me] = None
            if self._free:
                self._free -= 1
                self._lead_on(me, Lead())
        try:
            while isinstance(news := await self._next(me, give_up), Lead):
                await self._lead(me, news.batch, give_up)
        finally:
            self._leave(me)
        if isinstance(news, Refusal):
            raise news
        return None if isinstance(news, Alone) else news

    async def _next(self, me: Member, give_up: float) -> News | Lead:
        await me.flag.wait(give_up - self._wire.now())
        with self._lock:
            if me.news is not None:
                return me.news
            if me.leads:
                me.leading = True
                return me.leads.pop(0)
            raise TimedOut("no answer in time", maybe_done=me not in self._waiting)

    async def _lead(self, me: Member, batch: Batch | None, give_up: float) -> None:
        answered = False
        try:
            if batch is None:
                await self._wire.let_others_run()  # who was just answered may have more
                batch = self._gather()
            if batch is not None:
                await self._send(batch, give_up)
            answered = True
        finally:
            with self._lock:
                me.left = not answered
                me.leading = False
                self._pass_on(None if answered else batch)
                if me.news is None and not me.leads:
                    me.flag = self._wire.flag()

    def _gather(self) -> Batch | None:
        members: list[Member] = []
        size = 0
        with self._lock:
            for member in islice(self._waiting, MOST_JOBS):
                size += len(member.body) + 1
                if size > MOST_BYTES and members:
                    break
                members.append(member)
            for member in members:
                del self._waiting[member]
        if not members:
            return None
        body = b"[" + b",".join(member.body for member in members) + b"]"
        return Batch(post(body, uuid4().hex), members)

    async def _send(self, batch: Batch, give_up: float) -> None:
        """Returns when each member has its news. Raises Unreachable, TimedOut, Unavailable."""
        news: Sequence[News]
        try:
            answer = await self._caller.call(batch.request, repeat=True, give_up=give_up)
            news = _decoded(answer, len(batch.members))
        except Unavailable as error:
            if error.kind != "queue-full":
                raise
            news = [Alone() for _ in batch.members]  # the others' queues may have room
        except Refusal as error:
            # Each raises one of its own: a traceback grows with everyone who raises it.
            of_one_job = error.status < 500 and error.status != 401
            news = [
                Alone() if of_one_job else type(error)(error.status, error.problem)
                for _ in batch.members
            ]
        with self._lock:
            for member, what in zip(batch.members, news, strict=True):
                member.news = what
                member.flag.set()

    def _leave(self, me: Member) -> None:
        with self._lock:
            me.left = True
            self._waiting.pop(me, None)
            while me.leads:  # they came too late to be taken
                self._pass_on(me.leads.pop().batch)

    def _pass_on(self, batch: Batch | None) -> None:
        """Somebody else leads: the batch, if it is unanswered, else those that wait."""
        heirs = [member for member in batch.members if not member.left] if batch else []
        if heirs:
            self._lead_on(heirs[0], Lead(batch))
        elif self._waiting:
            idle = (member for member in self._waiting if not (member.leading or member.leads))
            self._lead_on(next(idle, next(iter(self._waiting))), Lead())
        else:
            self._free += 1

    def _lead_on(self, member: Member, lead: Lead) -> None:
        member.leads.append(lead)
        member.flag.set()


def post(body: bytes, key: str) -> Request:
    """A request for jobs which lands once, however often it is sent."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    return Request("POST", "/jobs", headers=headers, body=body)


def _decoded(answer: Answer, count: int) -> list[Job]:
    try:
        jobs = _jobs.decode(answer.body).jobs
    except msgspec.MsgspecError:
        jobs = []
    if len(jobs) != count:
        raise ServerFailed(answer.status, refusal(answer).problem)
    return jobs
