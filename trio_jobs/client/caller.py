"""One call: its time, its repetitions, and how it ends.

A call has one deadline, whatever is tried within it. What is repeated:

| what happened                     | a call that may be repeated | any other             |
|-----------------------------------|-----------------------------|-----------------------|
| no connection: surely not sent    | again                       | again                 |
| 429, 503: refused, nothing done   | again, after Retry-After    | again, likewise       |
| 503 `uncertain`, 502, 504         | again                       | raised                |
| cut off, or silence               | again                       | raised, `maybe_done`  |
| any other refusal                 | raised                      | raised                |

What only reads may be repeated; so may a POST with an Idempotency-Key, which the service does once
however often it comes; so may `pause`, `resume` and `remove`, which say how things shall be. A
`cancel`, `retry`, `run_now`, `snooze`, `amend`, `purge` or `bulk` may not: done twice, it might
meet another state than the caller saw (a retried job that has ended meanwhile would run again).
Whoever gets an error with `maybe_done` looks at the job, and decides.
"""

import random
from contextlib import suppress

from .errors import ApiError, ClientError, TimedOut, Unavailable, Unreachable, refusal
from .wire import Answer, Lost, Request, Stream, Wire

SHORTEST, LONGEST = 0.05, 2.0
"""Seconds between two tries: twice as long each time, at random between half and all of it."""


def pause(tries: int) -> float:
    """After so many vain tries. ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015)"""
    most: float = min(LONGEST, SHORTEST * 2 ** min(tries - 1, 10))
    return most * random.uniform(0.5, 1)  # noqa: S311  dice, no secret


class Caller:
    """Sends requests until they are answered or the time is over."""

    def __init__(self, wire: Wire, url: str, timeout: float) -> None:
        self.wire = wire
        self.timeout = timeout
        self._url = url

    def give_up(self, more: float = 0.0) -> float:
        """When a call that begins now has to end; `more` is what the service may take by itself."""
        return self.wire.now() + self.timeout + more

    async def call(
        self, request: Request, *, repeat: bool, give_up: float | None = None, wait: float = 0.0
    ) -> Answer:
        """The answer, which is a 2xx. Raises ApiError, Unreachable, TimedOut.

        `repeat`: it may be done twice. `wait`: seconds that the service is asked to take.
        """
        tries = Tries(self, repeat, self.give_up(wait) if give_up is None else give_up)
        request = request._replace(slow=wait > 0)
        while True:
            try:
                answer = await self.wire.send(request, tries.patience(wait))
            except Lost as lost:
                await tries.lost(lost)
                continue
            if answer.status < 300:
                return answer
            await tries.refused(refusal(answer))

    async def open(self, request: Request, *, repeat: bool) -> Stream:
        """An answer that comes bit by bit; its head is a 2xx. Raises as `call` does."""
        tries = Tries(self, repeat, self.give_up())
        while True:
            try:
                stream = await self.wire.open(request, tries.patience(0.0))
                if stream.status < 300:
                    return stream
                answer = await _whole(stream, self.timeout)
            except Lost as lost:
                await tries.lost(lost)
                continue
            await tries.refused(refusal(answer))

    def failure(self, lost: Lost, *, maybe_done: bool) -> ClientError:
        """What the caller is told of an answer that never came."""
        if lost.silent:
            return TimedOut(f"{self._url} has not answered: {lost}", maybe_done=maybe_done)
        return Unreachable(f"cannot reach {self._url}: {lost}", maybe_done=maybe_done)


class Tries:
    """What has become of one call so far."""

    def __init__(self, caller: Caller, repeat: bool, give_up: float) -> None:
        self._caller = caller
        self._repeat = repeat
        self._give_up = give_up
        self._count = 0
        self._sent = False

    def patience(self, wait: float) -> float:
        """For one try. One that may be repeated takes half at most: a connection may be dead."""
        left = max(0.0, self._give_up - self._caller.wire.now())
        return min(left, wait + self._caller.timeout / 2) if self._repeat else left

    async def lost(self, lost: Lost) -> None:
        """Returns when it is time for another try; else raises."""
        self._sent = self._sent or lost.sent
        failure = self._caller.failure(lost, maybe_done=self._sent)
        await self._again(failure, self._repeat or not lost.sent, 0.0)

    async def refused(self, error: ApiError) -> None:
        """Likewise."""
        uncertain = error.kind == "uncertain" or error.status in (502, 504)
        if uncertain:
            self._sent = True
        error.maybe_done = self._sent
        again = self._repeat if uncertain else isinstance(error, Unavailable)
        await self._again(error, again, error.retry_after or 0.0)

    async def _again(self, error: ClientError, again: bool, at_least: float) -> None:
        self._count += 1
        seconds = at_least + pause(self._count)
        # A try without time for an answer would only hide why the others failed.
        if not again or self._caller.wire.now() + seconds + SHORTEST >= self._give_up:
            raise error
        await self._caller.wire.sleep(seconds)


async def _whole(stream: Stream, patience: float) -> Answer:
    """A refusal's body, as far as it comes."""
    chunks: list[bytes] = []
    try:
        with suppress(Lost):
            while chunk := await stream.chunk(patience):
                chunks.append(chunk)
    finally:
        await stream.close()
    return Answer(stream.status, stream.headers, b"".join(chunks))
